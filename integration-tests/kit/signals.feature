Feature: Signals and callbacks
  What the outside tells one execution: events for it alone, and answers that come later.

  Scenario: An event for one execution is heard by it alone
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - own: {listen: {to: {one: {with: {type: e}}}}}
              - child: {run: {workflow: {namespace: default, name: other, version: latest}}}
    """
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: other, version: '1.0.0'}
    do: [{l: {listen: {to: {one: {with: {type: e}}}}}}]
    """
    When the workflow is started
    And the execution of 'other' becomes 'waiting'
    And this event is posted to the execution:
    """yaml
    {type: e, data: 1}
    """
    Then the workflow should complete with output:
    """yaml
    [1]
    """
    And child should cancel
    And no event of type 'e' should be stored

  Scenario: An event for one execution waits for its listen
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And this event is posted to the execution:
    """yaml
    {type: e, data: 1}
    """
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    [1]
    """

  Scenario: An event for one execution is kept while that is suspended
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is suspended
    And this event is posted to the execution:
    """yaml
    {type: e, data: 1}
    """
    Then the execution should be 'suspended'
    When the execution is resumed
    Then the workflow should complete with output:
    """yaml
    [1]
    """

  Scenario: A function that answers later is completed by a callback
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: 'desk:1@default', with: {n: 1}}
      - z: {set: {z: '${ . }'}}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: desk}
    spec: {http: {url: 'http://api.example.com/later'}}
    """
    When the workflow is started
    And 'c' is answered with:
    """yaml
    {ok: true}
    """
    Then the workflow should complete with output:
    """yaml
    z: {ok: true}
    """
    And the call to '/later' should have come 1 times

  Scenario: A callback may fail its task, and the failure can be caught
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: 'desk:1@default'}}]
          catch: {do: [{h: {set: {error: '${ [$error.type, $error.status, $error.instance] }'}}}]}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: desk}
    spec: {http: {url: 'http://api.example.com/later'}}
    """
    When the workflow is started
    And 'c' is failed with:
    """yaml
    {type: 'https://e.com/no', status: 409, detail: refused}
    """
    Then the workflow should complete with output:
    """yaml
    error: ['https://e.com/no', 409, /do/0/t/try/0/c]
    """

  Scenario: A task that waits for a callback has its timeout
    Given a workflow with definition:
    """yaml
    do:
      - c: {timeout: {after: PT0.3S}, call: 'desk:1@default'}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: desk}
    spec: {http: {url: 'http://api.example.com/later'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408, instance: /do/0/c}
    """

  Scenario: A callback comes after a kill, and the function is not called again
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: 'desk:1@default'}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: desk}
    spec: {http: {url: 'http://api.example.com/later'}}
    """
    When the workflow is started
    And the call to '/later' has come
    And the execution becomes 'running'
    And the execution waits for a 'callback'
    And the server is killed and started again
    And 'c' is answered with:
    """yaml
    5
    """
    Then the workflow should complete with output:
    """yaml
    5
    """
    And the call to '/later' should have come 1 times

  Scenario: An event for one execution is kept over a kill
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And this event is posted to the execution:
    """yaml
    {type: e, data: 1}
    """
    And the server is killed and started again
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    [1]
    """
