Feature: Retry
  catch.retry: counts, delays, budgets, counters.

  Scenario Outline: The count is that of the retries after the first run
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/2/503'}}}]
          catch:
            retry: {limit: {attempt: {count: <count>}}}
            do: [{h: {set: {status: '${ $error.status }'}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <output>
    """
    And the call to '/flaky/2/503' should have come <calls> times
    And the history should be:
    """
    <history>
    """
    Examples:
      | count | calls | output        | history |
      | 2     | 3     | {call: 3}     | workflow started, t started, c started, c faulted, t retried, c started, c faulted, t retried, c started, c completed, t completed, workflow completed |
      | 1     | 2     | {status: 503} | workflow started, t started, c started, c faulted, t retried, c started, c faulted, h started, h completed, t completed, workflow completed |
      | 0     | 1     | {status: 503} | workflow started, t started, c started, c faulted, h started, h completed, t completed, workflow completed |

  Scenario: Nothing is retried that no policy names
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
          catch: {do: [{h: {set: {s: '${ $error.status }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    s: 503
    """
    And the call to '/status/503' should have come 1 times

  Scenario: A policy by name
    Given a workflow with definition:
    """yaml
    use: {retries: {twice: {delay: {milliseconds: 5}, backoff: {exponential: {}}, limit: {attempt: {count: 2}}}}}
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/2/503'}}}]
          catch: {retry: twice}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    call: 3
    """

  Scenario: A catch with a retry alone raises the last error again
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
          catch: {retry: {limit: {attempt: {count: 1}}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 503, instance: /do/0/t/try/0/c}
    """
    And the call to '/status/503' should have come 2 times

  Scenario: Every attempt begins with the first task and the transformed input of the try
    Given a workflow with definition:
    """yaml
    do:
      - t:
          input: {from: .i}
          try:
            - s: {set: {n: '${ .n + 1 }'}}
            - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: '{n: $input.n, call: .call}'}}
          catch: {retry: {limit: {attempt: {count: 3}}}}
    """
    And the workflow input is:
    """yaml
    i: {n: 1}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {n: 2, call: 2}
    """
    And s should run 2 times

  Scenario Outline: Conditions are judged anew on the error of each attempt
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try:
            - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/501'}}
            - d: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/502'}}
          catch: {retry: {<policy>}, do: [{h: {set: {s: '${ $error.status }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    s: 502
    """
    And c should run 2 times
    And d should run once
    Examples:
      | policy |
      | when: $error.status == 501 |
      | exceptWhen: $error.status == 502 |

  Scenario: Counters begin anew when the try is entered again
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {in: '${ [1, 2] }'}
          do:
            - t:
                try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
                catch: {retry: {limit: {attempt: {count: 1}}}, do: [{h: {set: {s: '${ $error.status }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    s: 503
    """
    And the call to '/status/503' should have come 4 times

  Scenario: While a retry delay runs the execution is running
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
          catch: {retry: {delay: PT1H}}
    """
    When the workflow is started
    And the call to '/status/503' has come
    Then the execution should be 'running'
    When the execution is cancelled
    Then the workflow should cancel
    And t should cancel

  Scenario: A retry whose delay would end after the budget is not begun
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
          catch: {retry: {delay: PT1H, limit: {duration: PT30M}}, do: [{h: {set: {s: '${ $error.status }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    s: 503
    """
    And the call to '/status/503' should have come 1 times

  Scenario: An attempt longer than its duration is cut off with an error that the catch judges
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/held'}}}]
          catch:
            retry: {limit: {attempt: {count: 1, duration: PT0.3S}}}
            do: [{h: {set: {s: '${ $error.status }', t: '${ $error.type | split("/") | last }'}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {s: 408, t: timeout}
    """
    And c should run 2 times

  Scenario: Linear delays grow, and jitter is added
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/2/503'}}}]
          catch: {retry: {delay: PT0.02S, backoff: {linear: {}}, jitter: {from: PT0.01S, to: PT0.02S}, limit: {attempt: {count: 2}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    call: 3
    """
