Feature: Errors
  raise, try and catch: what is caught, and what follows.

  Scenario: A raised error ends the workflow
    Given a workflow with definition:
    """yaml
    do:
      - o: {do: [{r: {raise: {error: {type: 'https://e.com/e', status: '${ .s }', title: T, detail: 'code ${ .s }'}}}}]}
    """
    And the workflow input is:
    """yaml
    s: 418
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://e.com/e', status: 418, title: T, detail: code 418, instance: /do/0/o/do/0/r}
    """
    And the history should be:
    """
    workflow started, o started, r started, r faulted, o faulted, workflow faulted
    """

  Scenario: An error by name is evaluated at the task that raises it
    Given a workflow with definition:
    """yaml
    use:
      errors:
        sold-out: {type: 'https://e.com/sold-out', status: 409, title: Sold out, detail: 'no ${ .item } left'}
    do:
      - r: {raise: {error: sold-out}}
    """
    And the workflow input is:
    """yaml
    item: tea
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://e.com/sold-out', status: 409, title: Sold out, detail: no tea left, instance: /do/0/r}
    """

  Scenario: The handler sees the error and the transformed input of the try
    Given a workflow with definition:
    """yaml
    do:
      - t:
          input: {from: .i}
          try: [{s: {set: {lost: 1}}}, {r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch:
            as: e
            do: [{h: {set: {status: '${ $e.status }', at: '${ $e.instance }', input: '${ . }'}}}]
      - z: {set: {z: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    i: {k: 1}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: {status: 418, at: /do/0/t/try/1/r, input: {k: 1}}
    """
    And the history should be:
    """
    workflow started, t started, s started, s completed, r started, r faulted, h started, h completed, t completed, z started, z completed, workflow completed
    """

  Scenario Outline: Which errors a catch takes
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {raise: {error: {type: 'https://serverlessworkflow.io/dsl/errors/types/timeout', status: 408, title: T}}}}]
          catch: {<catch>, do: [{h: {set: {ok: true}}}]}
    """
    And the workflow input is:
    """yaml
    yes: true
    """
    When the workflow is executed
    Then the execution should be '<status>'
    Examples:
      | catch | status |
      | as: error | completed |
      | errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/timeout'}} | completed |
      | errors: {with: {type: 'https://open-workflow-specification.org/dsl/errors/types/timeout'}} | completed |
      | errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}} | completed |
      | errors: {with: {type: 'https://serverlessworkflow.io/dsl/errors/types/timeout'}} | completed |
      | errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/runtime'}} | faulted |
      | errors: {with: {type: 'https://e.com/timeout'}} | faulted |
      | errors: {with: {status: 408}} | completed |
      | errors: {with: {status: 409}} | faulted |
      | errors: {with: {title: T}} | completed |
      | errors: {with: {title: T, status: 409}} | faulted |
      | errors: {with: {detail: D}} | faulted |
      | errors: {with: {instance: /do/0/t/try/0/r}} | completed |
      | when: '${ $error.status == 408 and .yes }' | completed |
      | when: '$error.status == 409' | faulted |
      | exceptWhen: '$error.status == 408' | faulted |
      | exceptWhen: '$error.status == 409' | completed |
      | when: .yes, exceptWhen: .yes | faulted |
      | errors: {with: {status: 409}}, when: .yes | faulted |

  Scenario: What is not caught goes on to the try around
    Given a workflow with definition:
    """yaml
    do:
      - o:
          try:
            - t:
                try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
                catch: {when: 'false', do: [{no: {set: {a: 1}}}]}
          catch: {do: [{h: {set: {s: '${ $error.status }', at: '${ $error.instance }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {s: 418, at: /do/0/o/try/0/t/try/0/r}
    """
    And t should fault
    And no should not run

  Scenario: An error in the handler is not caught by the same catch
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {do: [{h: {raise: {error: {type: 'https://e.com/h', status: 419}}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 419, instance: /do/0/t/catch/do/0/h}
    """
    And h should run once

  Scenario: A catch without retry, do and then swallows the error and gives the transformed input
    Given a workflow with definition:
    """yaml
    do:
      - t:
          input: {from: .i}
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {}
          then: z
      - y: {set: {never: 1}}
      - z: {set: {z: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    i: {k: 1}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: {k: 1}
    """

  Scenario Outline: catch.then takes the place of the try's own then after a caught error
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {if: .fail, raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {then: z<do>}
          then: y
      - y: {set: {y: '${ . }'}, then: end}
      - z: {set: {z: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    fail: <fail>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <output>
    """
    Examples:
      | fail  | do | output |
      | true  |    | {z: {fail: true}} |
      | true  | , do: [{h: {set: {h: 1}}}] | {z: {h: 1}} |
      | false |    | {y: {fail: false}} |

  Scenario: A failing condition of a catch is an error of the try
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {when: $error.status.x, do: [{h: {set: {a: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
    instance: /do/0/t
    """

  Scenario: A fault in a branch is caught around the fork
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try:
            - f:
                fork:
                  branches:
                    - a: {wait: PT1H}
                    - b: {do: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]}
          catch: {do: [{h: {set: {at: '${ $error.instance }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/t/try/0/f/fork/branches/1/b/do/0/r
    """
    And a should cancel
    And f should fault

  Scenario: The error variable ends with the catch
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{a: {set: {v: '${ $error }'}}}]
          catch: {do: [{h: {set: {v: '${ $error }'}}}]}
    """
    Then the definition should be refused with 'E0402' at line 3

  Scenario: An error of a call has the status of the answer and the task as instance
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/404'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/communication
    status: 404
    title: '*'
    instance: /do/0/c
    """
