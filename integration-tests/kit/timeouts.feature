Feature: Waits and timeouts
  Stored, absolute instants.

  Scenario Outline: A wait gives its transformed input
    Given a workflow with definition:
    """yaml
    do:
      - w: {input: {from: .x}, wait: <wait>}
      - z: {set: {z: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    {x: 1, d: PT0.02S}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: 1
    """
    Examples:
      | wait |
      | PT0.02S |
      | {milliseconds: 20} |
      | "${ \"PT0.0\\(.)S\" }" |

  Scenario: A wait that is no duration is an error of its task
    Given a workflow with definition:
    """yaml
    do:
      - w: {wait: '${ .d }'}
    """
    And the workflow input is:
    """yaml
    d: P1Y
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/w
    """

  Scenario: A timeout of a task can be caught around that task
    Given a workflow with definition:
    """yaml
    do:
      - o:
          try:
            - d:
                timeout: {after: PT0.1S}
                do:
                  - t:
                      try: [{w: {wait: PT1H}}]
                      catch: {do: [{no: {set: {no: 1}}}]}
          catch: {do: [{h: {set: {e: '${ [$error.status, $error.instance] }', t: '${ $error.type }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    e: [408, /do/0/o/try/0/d]
    t: https://open-workflow-specification.org/spec/1.0.0/errors/timeout
    """
    And no should not run
    And the history should be:
    """
    workflow started, o started, d started, t started, w started, w cancelled, t cancelled, d faulted, h started, h completed, o completed, workflow completed
    """

  Scenario: A timeout by name
    Given a workflow with definition:
    """yaml
    use: {timeouts: {short: {after: {milliseconds: 50}}}}
    do:
      - w: {timeout: short, wait: PT1H}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408, instance: /do/0/w}
    """

  Scenario: A timeout cuts off a call in flight
    Given a workflow with definition:
    """yaml
    do:
      - c: {timeout: {after: PT1S}, call: http, with: {method: get, endpoint: 'http://api.example.com/gate/held'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408, instance: /do/0/c}
    """
    And c should fault
    And c should run once

  Scenario: A timeout of a try covers all its attempts and delays
    Given a workflow with definition:
    """yaml
    do:
      - t:
          timeout: {after: PT0.3S}
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/503'}}}]
          catch: {retry: {delay: PT1H}, do: [{no: {set: {no: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408, instance: /do/0/t}
    """
    And no should not run

  Scenario: The timeout of the workflow cannot be caught
    Given a workflow with definition:
    """yaml
    timeout: {after: PT0.1S}
    do:
      - t:
          try: [{w: {wait: PT1H}}]
          catch: {do: [{no: {set: {no: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408}
    """
    And w should cancel
    And t should cancel
    And no should not run

  Scenario: A task that ends in time is not touched by its timeout
    Given a workflow with definition:
    """yaml
    do:
      - d: {timeout: {after: PT0.05S}, do: [{a: {set: {v: 1}}}]}
      - w: {wait: PT0.1S}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 1
    """
