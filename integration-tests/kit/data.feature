Feature: Data
  What a task sees, what it gives, and in which order it is transformed and validated.

  Scenario: Set replaces the data
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {x: 1}}
      - b: {set: {y: '${ .x + 1 }'}}
    """
    And the workflow input is:
    """yaml
    z: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    y: 2
    """

  Scenario: Raw and transformed data of a task and of the workflow
    Given a workflow with definition:
    """yaml
    input: {from: .start}
    do:
      - a:
          input: {from: .n}
          set: {seen: '${ . }', input: '${ $input }', raw: '${ $task.input.n }'}
          output: {as: '{out: .seen, raw: $task.output.input}'}
          export: {as: '{data: ., output: $output.out, input: $input}'}
      - b: {set: {context: '${ $context }', data: '${ . }', workflow: '${ $workflow.input }'}}
    output: {as: '{b: ., c: $context.output}'}
    """
    And the workflow input is:
    """yaml
    start: {n: 7}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    b:
      context: {data: {out: 7, raw: 7}, output: 7, input: 7}
      data: {out: 7, raw: 7}
      workflow: {start: {n: 7}}
    c: 7
    """
    And a should start with input:
    """yaml
    7
    """
    And a should complete with output:
    """yaml
    {out: 7, raw: 7}
    """

  Scenario: The condition of a task sees the raw input
    Given a workflow with definition:
    """yaml
    do:
      - a: {if: .part.go, input: {from: .part}, set: {got: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    part: {go: true}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: {go: true}
    """

  Scenario: The context begins empty and export replaces it
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {c: '${ $context }'}, export: {as: '{a: 1}'}}
      - b: {set: {c: '${ $context }'}, export: {as: '{b: 2}'}}
      - c: {set: {c: '${ $context }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    c: {b: 2}
    """
    And a should complete with output:
    """yaml
    c: {}
    """

  Scenario: Transforms may be maps, in which only strings with an expression are evaluated, at every depth
    Given a workflow with definition:
    """yaml
    do:
      - a:
          input: {from: {x: '${ .n }', deep: {list: [.n, '${ .n + 1 }']}}}
          set: '${ . }'
          output: {as: {got: '${ . }', plain: .x}}
          export: {as: {kept: '${ .got.x }'}}
      - b: {set: {data: '${ . }', context: '${ $context }'}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    data: {got: {x: 1, deep: {list: [.n, 2]}}, plain: .x}
    context: {kept: 1}
    """

  Scenario Outline: Schemas of a task see raw input and transformed output and export
    Given a workflow with definition:
    """yaml
    do:
      - a:
          <part>: {schema: {document: {type: object, required: [<key>]}}<more>}
          set: {y: 1}
    """
    And the workflow input is:
    """yaml
    <input>
    """
    When the workflow is executed
    Then the execution should be '<status>'
    Examples:
      | part   | key | more             | input  | status    |
      | input  | x   | , from: '{}'     | {x: 1} | completed |
      | input  | x   | , from: '{x: 1}' | {}     | faulted   |
      | output | z   | , as: '{z: .y}'  | {}     | completed |
      | output | y   | , as: '{z: .y}'  | {}     | faulted   |
      | export | z   | , as: '{z: .y}'  | {}     | completed |
      | export | y   | , as: '{z: .y}'  | {}     | faulted   |

  Scenario: Data that misses a schema is a validation error of the task
    Given a workflow with definition:
    """yaml
    do:
      - a: {input: {schema: {document: {required: [x]}}}, set: {y: 1}}
    """
    And the workflow input is:
    """yaml
    {}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
    status: 400
    title: '*'
    instance: /do/0/a
    """

  Scenario: A failed export validation faults after the body has had its effects
    Given a workflow with definition:
    """yaml
    do:
      - a:
          call: http
          with: {method: post, endpoint: 'http://api.example.com/echo'}
          export: {as: '{}', schema: {document: {required: [x]}}}
    """
    When the workflow is executed
    Then the workflow should fault
    And the call to '/echo' should have come 1 times

  Scenario: The workflow's input schema sees the raw input
    Given a workflow with definition:
    """yaml
    input: {schema: {document: {required: [x]}}, from: .x}
    do:
      - a: {set: '${ {v: .} }'}
    """
    And the workflow input is:
    """yaml
    x: 3
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 3
    """

  Scenario: The workflow's output schema sees the transformed output
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {x: 1}}
    output: {as: .x, schema: {document: {type: string}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
    status: 400
    """
    And the history should be:
    """
    workflow started, a started, a completed, workflow faulted
    """

  Scenario Outline: An expression that fails is an error of its task
    Given a workflow with definition:
    """yaml
    do:
      - a:
          <part>
          set: {v: 1}
    """
    And the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/a
    """
    And a should fault
    Examples:
      | part |
      | if: .x.y |
      | input: {from: .x.y} |
      | output: {as: .v.y} |
      | export: {as: .v.y} |
      | output: {as: '.v, .v'} |
      | output: {as: empty} |
      | output: {as: 1 / 0} |
      | output: {as: last(range(1e18))} |
      | output: {as: 'def f: 1 + f; f'} |
      | output: {as: 'error("no")'} |

  Scenario: What an execution, a task and the runtime tell of themselves
    Given a workflow with definition:
    """yaml
    do:
      - a:
          set:
            id: ${ $workflow.id }
            name: ${ $workflow.definition.document.name }
            raw: ${ $workflow.input }
            at: ${ $workflow.startedAt.iso8601 | type }
            epoch: ${ ($workflow.startedAt.epoch.milliseconds / 1000 | floor) == $workflow.startedAt.epoch.seconds }
            task: ${ [$task.name, $task.reference, ($task.set | type), ($task.definition.set | type)] }
            runtime: ${ $runtime.name }
            unevaluated: ${ $task.definition.set.runtime }
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    id: '*'
    name: example
    raw: {n: 1}
    at: string
    epoch: true
    task: [a, /do/0/a, object, object]
    runtime: tidemill
    unevaluated: '$*runtime.name }'
    """

  Scenario Outline: Text with expressions in it
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: '<text>'}}
    """
    And the workflow input is:
    """yaml
    {n: 1, s: word, o: {a: [1]}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: <value>
    """
    Examples:
      | text | value |
      | ${ .n } | 1 |
      | ${ .o } | {a: [1]} |
      | n is ${ .n } | n is 1 |
      | ${ .s } and ${ .s } | word and word |
      | ${ .n }${ .n } | '11' |
      | in ${ .o } | 'in {"a":[1]}' |
      | .n | .n |
      | ${ "}" } | '}' |

  Scenario: A whole expression may have line breaks in it and blanks around it
    Given a workflow with definition:
    """yaml
    do:
      - a:
          set: |
            ${
              {v: (.n
                + 1)}
            }
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 2
    """

  Scenario Outline: Outputs that are no object
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: <value>}, output: {as: .v}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <value>
    """
    Examples:
      | value |
      | 1 |
      | text |
      | [1, 2] |
      | null |
      | true |
      | 12345678901234567890 |

  Scenario Outline: An execution takes any input
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {kind: '${ type }'}}
    """
    And the workflow input is:
    """yaml
    <input>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    kind: <kind>
    """
    Examples:
      | input | kind |
      | null  | 'null' |
      | 1     | number |
      | [1]   | array |
      | text  | string |

  Scenario Outline: jq behaves as jq 1.7
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: '${ <program> }'}}
    """
    And the workflow input is:
    """yaml
    {a: [1, null, x], n: null}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: <value>
    """
    Examples:
      | program | value |
      | 10 / 5 \| tostring | '2' |
      | .a \| join(",") | '1,,x' |
      | .n[1:] | null |
      | .x.y = 5 \| .x | {y: 5} |
      | "x" \| IN("x", "y") | true |
      | [[1, "x"]] \| .[] \| @tsv | "1\tx" |
