Feature: Functions
  Named functions of the workflow and functions of the server.

  Scenario: A function of the workflow sees nothing but its with
    Given a workflow with definition:
    """yaml
    use:
      functions:
        f: {do: [{in: {set: {got: '${ . }', context: '${ $context }'}, export: {as: '{inner: true}'}}}]}
    do:
      - a: {set: {n: 1}, export: {as: '{outer: true}'}}
      - b: {call: f, with: {m: '${ .n + 1 }'}}
      - c: {set: {b: '${ . }', context: '${ $context }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    b: {got: {m: 2}, context: {}}
    context: {outer: true}
    """

  Scenario: Functions may call functions
    Given a workflow with definition:
    """yaml
    use:
      functions:
        outer: {call: inner, with: {n: '${ .n * 10 }'}}
        inner: {set: {n: '${ .n + 1 }'}}
    do:
      - a: {call: outer, with: {n: 4}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 41
    """

  Scenario: Functions that call themselves are refused
    Given a workflow with definition:
    """yaml
    use:
      functions:
        a: {call: b}
        b: {call: a}
    do:
      - c: {call: a}
    """
    Then the definition should be refused with 'E0506' at line 3

  Scenario: The with of a call is judged by the function's input schema
    Given a workflow with definition:
    """yaml
    use:
      functions:
        f: {input: {schema: {document: {required: [id]}}}, set: {v: 1}}
    do:
      - a: {call: f, with: {no: 1}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/validation', status: 400}
    """

  Scenario: A builtin function of the server returns its input
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'same:1@default', with: {n: '${ .n }'}}
      - b: {call: 'same:1@default'}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: same}
    spec: {builtin: echo}
    """
    And the workflow input is:
    """yaml
    {n: 1, m: 2}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
    And the history should be:
    """
    workflow started, a started, a completed, b started, b completed, workflow completed
    """

  Scenario: An HTTP function gets its input as body and the facts of its call as headers
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'charge:1@default', with: {amount: 5}, output: {as: .body}}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: charge}
    spec: {http: {url: 'http://api.example.com/echo'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    amount: 5
    """
    And the call to '/echo' should carry:
    """yaml
    method: POST
    headers: {idempotency-key: '*/*', tidemill-execution: '*', tidemill-task: /do/0/a, tidemill-attempt: '1', traceparent: '*'}
    """

  Scenario: A function that the server does not have is an error of the task
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'nobody:1@default'}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/configuration', instance: /do/0/a}
    """

  Scenario: Retries of one call have one idempotency key
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{a: {call: 'charge:1@default'}}]
          catch: {retry: {limit: {attempt: {count: 3}}}}
      - b: {call: 'told:1@default', output: {as: '.headers["tidemill-attempt"]'}}
    """
    And these manifests:
    """yaml
    kind: Function
    metadata: {name: charge}
    spec: {http: {url: 'http://api.example.com/flaky/1/503'}}
    ---
    kind: Function
    metadata: {name: told}
    spec: {http: {url: 'http://api.example.com/echo'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    '1'
    """
    And the call to '/flaky/1/503' should have come 2 times
    And the call to '/flaky/1/503' should carry:
    """yaml
    headers: {tidemill-attempt: '2'}
    """
