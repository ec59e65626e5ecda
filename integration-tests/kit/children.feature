Feature: Child workflows
  run.workflow: input, output, faults, versions, cancel.

  Scenario: A child gets its input and gives its output
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child, version: '1.0.0', input: {n: '${ .n }'}}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    do:
      - a: {set: {twice: '${ .n * 2 }'}}
    """
    And the workflow input is:
    """yaml
    n: 4
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    twice: 8
    """
    And 1 executions of 'child' should be 'completed'

  Scenario Outline: A child's fault is the task's error
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child, version: '1.0.0', input: <input>}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    input: {schema: {document: {type: object}}}
    do:
      - a: {raise: {error: {type: 'https://e.com/e', status: 418, title: T, detail: D}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    <error>
    """
    Examples:
      | input | error |
      | {}    | {type: 'https://e.com/e', status: 418, title: T, detail: D, instance: /do/0/r} |
      | 1     | {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/validation', status: 400, instance: /do/0/r} |

  Scenario: A child that is not awaited
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {await: false, workflow: {namespace: default, name: child, version: '1.0.0', input: {n: 1}}}}
      - z: {set: {z: '${ . }'}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    do:
      - a: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/child'}}
    """
    And the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: {x: 1}
    """
    When the call to '/gate/child' is answered
    Then 1 executions of 'child' should be 'completed'

  Scenario Outline: latest, and no version, take the highest semantic version by number
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child<version>}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.10.0'}
    do: [{a: {set: {v: 10}}}]
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.9.0'}
    do: [{a: {set: {v: 9}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: <v>
    """
    Examples:
      | version | v |
      | , version: latest | 10 |
      |                   | 10 |
      | , version: 1.9.0  | 9 |

  Scenario: A workflow that does not exist is an error of the task
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {run: {workflow: {namespace: default, name: nobody, version: '1.0.0'}}}}]
          catch: {do: [{h: {set: {at: '${ $error.instance }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/t/try/0/r
    """

  Scenario: While a child is awaited the execution is running
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child, version: '1.0.0'}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    do: [{w: {wait: PT1H}}]
    """
    When the workflow is started
    And the execution of 'child' becomes 'waiting'
    Then the execution should be 'running'
    When the execution is cancelled
    Then the workflow should cancel
    And 1 executions of 'child' should be 'cancelled'

  Scenario: A child that is cancelled by itself fails the task that awaits it
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child, version: '1.0.0'}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    do: [{w: {wait: PT1H}}]
    """
    When the workflow is started
    And the execution of 'child' becomes 'waiting'
    And the execution of 'child' is cancelled
    Then the workflow should fault with error:
    """yaml
    {instance: /do/0/r}
    """

  Scenario: A child of a child
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: middle, version: latest, input: '${ .n }'}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: middle, version: '1.0.0'}
    do: [{r: {run: {workflow: {namespace: default, name: inner, version: latest, input: '${ . + 1 }'}}}}]
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: inner, version: '1.0.0'}
    do: [{a: {set: {n: '${ . + 1 }'}}}]
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 3
    """
