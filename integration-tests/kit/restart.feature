Feature: Restart
  SIGKILL of the process while a task of each kind is open; after the restart the execution ends as it has to.

  Scenario: A wait goes on to its instant
    Given a workflow with definition:
    """yaml
    do:
      - w: {wait: PT6S}
      - z: {set: {z: 1}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the server is killed and started again
    Then the execution should be 'waiting'
    And the workflow should complete with output:
    """yaml
    z: 1
    """
    And the history should be:
    """
    workflow started, w started, w completed, z started, z completed, workflow completed
    """

  Scenario: A listen hears the event that comes after
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the server is killed and started again
    And this event is posted:
    """yaml
    {type: e, data: 1}
    """
    Then the workflow should complete with output:
    """yaml
    [1]
    """

  Scenario: A listen that had been fed before the kill keeps its event
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: '$input'}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: e, data: 1}
    """
    And the call to '/gate/c' has come
    And the server is killed and started again
    And this event is posted:
    """yaml
    {type: e, id: again, data: 2}
    """
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    [1]
    """
    And l should run once

  Scenario: An HTTP call is made again
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {n: 1}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: .call}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the call to '/gate/c' has come 2 times
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    2
    """
    And a should run once
    And c should run once

  Scenario: A function's call is made again with the same idempotency key and attempt
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: 'charge:1@default', with: {amount: 5}, output: {as: .call}}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: charge}
    spec: {http: {url: 'http://api.example.com/gate/charge'}}
    """
    When the workflow is started
    And the call to '/gate/charge' has come
    And the server is killed and started again
    And the call to '/gate/charge' has come 2 times
    And the call to '/gate/charge' is answered
    Then the workflow should complete with output:
    """yaml
    2
    """
    And the call to '/gate/charge' should carry:
    """yaml
    headers: {idempotency-key: '*/1', tidemill-attempt: '1'}
    body: {amount: 5}
    """

  Scenario: A fork goes on with what its branches had
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {set: {a: 1}, export: {as: '{a: 1}'}}
              - b: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/b'}, output: {as: .gate}}
              - c: {do: [{c1: {set: {v: 1}}}, {c2: {listen: {to: {one: {with: {type: e}}}}}}]}
      - z: {set: {f: '${ . }', context: '${ $context }'}}
    """
    When the workflow is started
    And the call to '/gate/b' has come
    And 'c2' has started
    And the server is killed and started again
    And this event is posted:
    """yaml
    {type: e, data: 9}
    """
    And the call to '/gate/b' is answered
    Then the workflow should complete with output:
    """yaml
    {f: [{a: 1}, b, [9]], context: {a: 1}}
    """
    And a should run once
    And c1 should run once

  Scenario: A race that was open has one winner
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - a: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/a'}, output: {as: .gate}}
              - b: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/b'}, output: {as: .gate}}
    """
    When the workflow is started
    And the call to '/gate/a' has come
    And the call to '/gate/b' has come
    And the server is killed and started again
    And the call to '/gate/b' is answered
    Then the workflow should complete with output:
    """yaml
    b
    """
    And a should cancel

  Scenario: A loop goes on with the iteration it was in
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2, 3] }'}
          do:
            - a: {set: {all: '${ (.all // []) + [$x] }'}}
            - c: {if: $x == 2, call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: $input}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    all: [1, 2, 3]
    """
    And a should run 3 times

  Scenario: A try keeps the number of its attempts
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try:
            - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}}
            - g: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/g'}}
            - r: {raise: {error: {type: 'https://e.com/e', status: 418}}}
          catch:
            retry: {limit: {attempt: {count: 1}}}
            do: [{h: {set: {s: '${ $error.status }'}}}]
    """
    When the workflow is started
    And the call to '/gate/g' has come
    And the server is killed and started again
    And the call to '/gate/g' is answered
    Then the workflow should complete with output:
    """yaml
    s: 418
    """
    And the history should be:
    """
    workflow started, t started, c started, c faulted, t retried
    c started, c completed, g started, g completed, r started, r faulted, h started, h completed, t completed, workflow completed
    """

  Scenario: A retry delay is stored
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}}}]
          catch: {retry: {delay: PT6S, limit: {attempt: {count: 1}}}}
    """
    When the workflow is started
    And the call to '/flaky/1/503' has come
    And the execution becomes 'running'
    And the server is killed and started again
    Then the workflow should complete with output:
    """yaml
    call: 2
    """

  Scenario: A handler goes on with its error
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]
          catch:
            do:
              - g: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/g'}}
              - h: {set: {s: '${ $error.status }'}}
    """
    When the workflow is started
    And the call to '/gate/g' has come
    And the server is killed and started again
    And the call to '/gate/g' is answered
    Then the workflow should complete with output:
    """yaml
    s: 418
    """
    And r should run once

  Scenario: A timeout keeps its instant
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{w: {timeout: {after: PT6S}, wait: PT1H}}]
          catch: {do: [{h: {set: {s: '${ $error.status }'}}}]}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the server is killed and started again
    Then the execution should be 'waiting'
    And the workflow should complete with output:
    """yaml
    s: 408
    """

  Scenario: An awaited child goes on, and its end reaches its parent
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {workflow: {namespace: default, name: child, version: '1.0.0'}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: child, version: '1.0.0'}
    do: [{l: {listen: {to: {one: {with: {type: e}}}}}}]
    """
    When the workflow is started
    And the execution of 'child' becomes 'waiting'
    And the server is killed and started again
    And this event is posted:
    """yaml
    {type: e, data: 1}
    """
    Then the workflow should complete with output:
    """yaml
    [1]
    """
    And 1 executions of 'child' should be 'completed'

  Scenario: A function of the workflow goes on inside
    Given a workflow with definition:
    """yaml
    use: {functions: {f: {do: [{a: {set: {n: '${ .n + 1 }'}}}, {g: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/g'}, output: {as: $input}}}]}}}
    do:
      - c: {call: f, with: {n: 1}}
    """
    When the workflow is started
    And the call to '/gate/g' has come
    And the server is killed and started again
    And the call to '/gate/g' is answered
    Then the workflow should complete with output:
    """yaml
    n: 2
    """
    And a should run once

  Scenario: A suspended execution stays suspended, and goes on when it is resumed
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: .gate}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the execution is suspended
    And the server is killed and started again
    Then the execution should be 'suspended'
    When the execution is resumed
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    c
    """

  Scenario: What has ended stays as it ended, and can be retried
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {n: 1}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: .call}}
    """
    When the workflow is executed
    Then the workflow should fault
    When the server is killed and started again
    Then the execution should be 'faulted'
    When the execution is retried
    Then the workflow should complete with output:
    """yaml
    2
    """
    And a should run once

  Scenario: An execution keeps its version over a kill
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: kept, version: '1.0.0'}
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - z: {set: {version: '${ $workflow.definition.document.version }'}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: kept, version: '2.0.0'}
    do: [{z: {set: {version: other}}}]
    """
    And the server is killed and started again
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    version: 1.0.0
    """

  Scenario: A cancel that was answered is final
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the execution is cancelled
    And the server is killed and started again
    Then the workflow should cancel
    And the call to '/gate/c' should have come 1 times

  Scenario: An emitted event is stored once
    Given a workflow with definition:
    """yaml
    do:
      - e: {emit: {event: {with: {type: told, source: /s, data: {n: 1}}}}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - l: {listen: {to: {one: {with: {type: told}}}}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    [{n: 1}]
    """
    And e should run once
