Feature: Events
  emit, listen, and the events that tell of executions.

  Scenario: An emitted event is the task's output, with what its author left out
    Given a workflow with definition:
    """yaml
    do:
      - e: {emit: {event: {with: {type: order.placed, source: /shop, data: {n: '${ .n }'}, region: eu}}}}
    """
    And the workflow input is:
    """yaml
    n: 4
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    {specversion: '1.0', id: '*', source: /shop, type: order.placed, time: '*', region: eu, data: {n: 4}}
    """
    And an event of type 'order.placed' should be stored with:
    """yaml
    {source: /shop, region: eu, data: {n: 4}}
    """

  Scenario: An emitted event keeps the id, time and extensions of its author
    Given a workflow with definition:
    """yaml
    do:
      - e: {emit: {event: {with: {type: t, source: /s, id: own, time: '2020-01-01T00:00:00Z', level: 3}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {specversion: '1.0', id: own, source: /s, type: t, time: '2020-01-01T00:00:00Z', level: 3}
    """

  Scenario: An emitted event fires triggers like a posted one
    Given a workflow with definition:
    """yaml
    do:
      - e: {emit: {event: {with: {type: order.placed, data: {n: 4}}}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: shipping, version: '1.0.0'}
    do:
      - a: {set: {n: '${ .n }'}}
    """
    And these manifests:
    """yaml
    kind: Trigger
    metadata: {name: ship}
    spec:
      filters: [{exact: {type: order.placed}}]
      target: {workflow: shipping}
      input: ${ .data }
    """
    When the workflow is executed
    Then the workflow should complete
    And 1 executions of 'shipping' should be 'completed'

  Scenario: A listen gives an array, also for one event
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: order}}}}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: other, id: '0', data: {n: 0}}
    """
    And this event is posted:
    """yaml
    {type: order, data: {n: 1}}
    """
    Then the workflow should complete with output:
    """yaml
    [{n: 1}]
    """

  Scenario Outline: A listen reads data, envelope or raw
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: order}}}, read: <read>}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: order, id: x, data: {n: 1}}
    """
    Then the workflow should complete with output like:
    """yaml
    <output>
    """
    Examples:
      | read     | output |
      | data     | [{n: 1}] |
      | envelope | [{specversion: '1.0', id: x, source: /kit, type: order, data: {n: 1}}] |
      | raw      | ['{"n":1}'] |

  Scenario Outline: What a filter takes
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {<filter>}}}}}
    """
    And the workflow input is:
    """yaml
    k: 1
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {<no>, id: 'no', data: {n: 2}}
    """
    And this event is posted:
    """yaml
    {<yes>, id: 'yes', data: {n: 1, ok: true}}
    """
    Then the workflow should complete with output:
    """yaml
    [{n: 1, ok: true}]
    """
    Examples:
      | filter | no | yes |
      | type: order | type: order2 | type: order |
      | type: 'or.*' | type: border | type: order |
      | type: a.b | type: axb | type: a.b |
      | type: order, source: /kit | type: order, source: /other | type: order |
      | type: order, subject: x | type: order | type: order, subject: x |
      | type: order, data: '${ .n == $input.k }' | type: order | type: order |
      | type: order, data: {n: 1, ok: true} | type: order | type: order |
      | type: '${ startswith("ord") }' | type: bord | type: order |
      | type: order, level: 3 | type: order, level: 4 | type: order, level: 3 |

  Scenario: Two listens in a row need two events
    Given a workflow with definition:
    """yaml
    do:
      - a: {listen: {to: {one: {with: {type: e}}}}}
      - b: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: e, id: '1', data: 1}
    """
    And 'b' has started
    Then the execution should be 'waiting'
    When this event is posted:
    """yaml
    {type: e, id: '1', data: 1}
    """
    And this event is posted:
    """yaml
    {type: e, id: '2', data: 2}
    """
    Then the workflow should complete with output:
    """yaml
    [2]
    """

  Scenario: A listen sees the events stored after its execution started, also before the listen itself began
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/first'}}
      - l: {listen: {to: {one: {with: {type: early}}}}}
    """
    When the workflow is started
    And the call to '/gate/first' has come
    And this event is posted:
    """yaml
    {type: early, data: 7}
    """
    And the call to '/gate/first' is answered
    Then the workflow should complete with output:
    """yaml
    [7]
    """

  Scenario: Events from before the start are not seen
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When this event is posted:
    """yaml
    {type: e, id: before, data: 1}
    """
    And the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: e, id: after, data: 2}
    """
    Then the workflow should complete with output:
    """yaml
    [2]
    """

  Scenario: Every listening execution gets its own copy
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {run: {workflow: {namespace: default, name: listener, version: latest}}}
              - b: {run: {workflow: {namespace: default, name: listener, version: latest}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: listener, version: '1.0.0'}
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the execution of 'listener' becomes 'waiting'
    And 'b' has started
    And 2 executions of 'listener' should be 'waiting'
    And this event is posted:
    """yaml
    {type: e, data: 5}
    """
    Then the workflow should complete with output:
    """yaml
    [[5], [5]]
    """

  Scenario: A workflow hears what it emits itself
    Given a workflow with definition:
    """yaml
    do:
      - e: {emit: {event: {with: {type: own, data: {n: 1}}}}}
      - l: {listen: {to: {one: {with: {type: own}}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{n: 1}]
    """

  Scenario Outline: Lifecycle events tell of an execution
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: 1}}
      - t:
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {}
    """
    When the workflow is executed
    Then the workflow should complete
    And an event of type 'io.serverlessworkflow.<type>.v1' should be stored with:
    """yaml
    data: <data>
    """
    Examples:
      | type | data |
      | workflow.started | {name: 'example-*.*', definition: {name: example, version: '1.0.0'}, startedAt: '*'} |
      | workflow.completed | {name: 'example-*.*', completedAt: '*', outputUri: '*'} |
      | task.created | {workflow: 'example-*.*', task: /do/0/a, createdAt: '*'} |
      | task.started | {workflow: 'example-*.*', task: /do/0/a, startedAt: '*'} |
      | task.completed | {workflow: 'example-*.*', task: /do/0/a, completedAt: '*'} |
      | task.faulted | {task: /do/1/t/try/0/r, faultedAt: '*', error: {status: 418}} |

  Scenario: Lifecycle events of a retry and of a fault
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch: {retry: {limit: {attempt: {count: 1}}}}
    """
    When the workflow is executed
    Then the workflow should fault
    And an event of type 'io.serverlessworkflow.task.retried.v1' should be stored with:
    """yaml
    data: {task: /do/0/t, retriedAt: '*'}
    """
    And an event of type 'io.serverlessworkflow.workflow.faulted.v1' should be stored with:
    """yaml
    data: {faultedAt: '*', error: {type: 'https://e.com/e', status: 418, instance: /do/0/t/try/0/r}}
    """

  Scenario: A skipped task tells neither started nor completed
    Given a workflow with definition:
    """yaml
    do:
      - a: {if: 'false', set: {v: 1}}
    """
    When the workflow is executed
    Then the workflow should complete
    And an event of type 'io.serverlessworkflow.workflow.completed.v1' should be stored
    And no event of type 'io.serverlessworkflow.task.started.v1' should be stored
    And no event of type 'io.serverlessworkflow.task.completed.v1' should be stored

  Scenario: Lifecycle events of an execution that is suspended, resumed and cancelled
    Given a workflow with definition:
    """yaml
    do:
      - w: {wait: PT1H}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is suspended
    And the execution is resumed
    And the execution is cancelled
    Then the workflow should cancel
    And an event of type 'io.serverlessworkflow.workflow.suspended.v1' should be stored with:
    """yaml
    data: {suspendedAt: '*'}
    """
    And an event of type 'io.serverlessworkflow.workflow.resumed.v1' should be stored with:
    """yaml
    data: {resumedAt: '*'}
    """
    And an event of type 'io.serverlessworkflow.workflow.cancelled.v1' should be stored with:
    """yaml
    data: {cancelledAt: '*'}
    """
    And an event of type 'io.serverlessworkflow.task.suspended.v1' should be stored with:
    """yaml
    data: {task: /do/0/w}
    """
    And an event of type 'io.serverlessworkflow.task.resumed.v1' should be stored with:
    """yaml
    data: {task: /do/0/w}
    """
    And an event of type 'io.serverlessworkflow.task.cancelled.v1' should be stored with:
    """yaml
    data: {task: /do/0/w}
    """

  Scenario: A lifecycle event is heard only by a filter that states its type
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - any: {listen: {to: {one: {with: {source: '/v1/.*'}}}}}
              - stated: {listen: {to: {one: {with: {type: io.serverlessworkflow.workflow.completed.v1}}}}, output: {as: '"stated"'}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: short, version: '1.0.0'}
    do:
      - a: {set: {v: 1}}
    """
    And these manifests:
    """yaml
    kind: Trigger
    metadata: {name: short}
    spec:
      filters: [{exact: {type: go}}, {exact: {source: /elsewhere}}]
      target: {workflow: short}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: go, source: /elsewhere}
    """
    Then the workflow should complete with output:
    """yaml
    stated
    """
    And any should cancel
