Feature: Control
  cancel, suspend, resume and retry of executions, nested and forked work included.

  Scenario Outline: Commands that a state does not allow are refused
    Given a workflow with definition:
    """yaml
    do:
      - a: <task>
    """
    When the workflow is executed
    Then the execution should be '<status>'
    And the execution should refuse to '<first>'
    And the execution should refuse to '<second>'
    Examples:
      | task | status | first | second |
      | {set: {v: 1}} | completed | cancel | suspend |
      | {set: {v: 2}} | completed | resume | retry |
      | {raise: {error: {type: 'https://e.com/e', status: 1}}} | faulted | cancel | suspend |

  Scenario: A cancelled execution refuses to be cancelled or resumed
    Given a workflow with definition:
    """yaml
    do:
      - w: {wait: PT1H}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is cancelled
    Then the workflow should cancel
    And the execution should refuse to 'cancel'
    And the execution should refuse to 'resume'

  Scenario: Cancel ends everything, innermost first, and no catch sees it
    Given a workflow with definition:
    """yaml
    do:
      - o:
          try:
            - f: {fork: {branches: [{a: {wait: PT1H}}, {b: {do: [{c: {wait: PT1H}}]}}]}}
          catch: {retry: {limit: {attempt: {count: 3}}}, do: [{no: {set: {no: 1}}}]}
      - z: {set: {z: 1}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is cancelled
    Then the workflow should cancel
    And the history should be:
    """
    workflow started, o started, f started, a started, b started, c started
    c cancelled, b cancelled, a cancelled, f cancelled, o cancelled, workflow cancelled
    """

  Scenario: Cancel cuts off a call in flight
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/held'}}
    """
    When the workflow is started
    And the call to '/gate/held' has come
    And the execution is cancelled
    Then the workflow should cancel
    And c should cancel

  Scenario: While suspended an answer is kept, and the call is not repeated
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/held'}, output: {as: .gate}}
      - z: {set: {z: '${ . }'}}
    """
    When the workflow is started
    And the call to '/gate/held' has come
    And the execution is suspended
    Then the execution should be 'suspended'
    When the call to '/gate/held' is answered
    Then the history should be:
    """
    workflow started, c started, workflow suspended
    """
    When the execution is resumed
    Then the workflow should complete with output:
    """yaml
    z: held
    """
    And the call to '/gate/held' should have come 1 times
    And the history should be:
    """
    workflow started, c started, workflow suspended, workflow resumed, c completed, z started, z completed, workflow completed
    """

  Scenario: While suspended an event is kept
    Given a workflow with definition:
    """yaml
    do:
      - l: {listen: {to: {one: {with: {type: e}}}}}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is suspended
    And this event is posted:
    """yaml
    {type: e, data: 1}
    """
    Then the execution should be 'suspended'
    And l should run once
    When the execution is resumed
    Then the workflow should complete with output:
    """yaml
    [1]
    """

  Scenario: While suspended no timer moves the execution on
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - w: {wait: PT0.2S}
              - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/held'}}
      - z: {set: {z: 1}}
    """
    When the workflow is started
    And the call to '/gate/held' has come
    And the execution is suspended
    And the call to '/gate/held' is answered
    Then the execution should be 'suspended'
    When the execution is resumed
    Then the workflow should complete with output:
    """yaml
    z: 1
    """

  Scenario: A suspended execution can be cancelled
    Given a workflow with definition:
    """yaml
    do:
      - w: {wait: PT1H}
    """
    When the workflow is started
    And the execution becomes 'waiting'
    And the execution is suspended
    And the execution is cancelled
    Then the workflow should cancel

  Scenario: Retry goes on with the failed task, with data and context as they were
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {n: 1}, export: {as: '{kept: true}'}}
      - o: {do: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: '{n: $input.n, context: $context}'}}}]}
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried
    Then the workflow should complete with output:
    """yaml
    {n: 1, context: {kept: true}}
    """
    And a should run once
    And the history should be:
    """
    workflow started, a started, a completed, o started, c started, c faulted, o faulted, workflow faulted
    workflow retried, o started, c started, c completed, o completed, workflow completed
    """

  Scenario: Retry with another input
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: '${ .x.y }'}}
    """
    And the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried with:
    """yaml
    input: {x: {y: 2}}
    """
    Then the workflow should complete with output:
    """yaml
    v: 2
    """

  Scenario: Retry from a task of choice
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {n: '${ .n + 1 }'}}
      - b: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: $input}}
    """
    And the workflow input is:
    """yaml
    n: 0
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried with:
    """yaml
    {input: {n: 5}, fromTask: /do/0/a}
    """
    Then the workflow should complete with output:
    """yaml
    n: 6
    """
    And a should run 2 times

  Scenario: Retry runs no finished branch again
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {call: http, with: {method: get, endpoint: 'http://api.example.com/hello/a'}, output: {as: .hello}}
              - b: {do: [{b1: {wait: PT0.1S}}, {b2: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/b'}}}, {b3: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: .call}}}]}
    """
    When the workflow is started
    And 'a' has completed
    And the call to '/gate/b' is answered
    Then the workflow should fault
    When the execution is retried
    Then the workflow should complete with output:
    """yaml
    [a, 2]
    """
    And a should run once
    And b2 should run once
    And b3 should run 2 times

  Scenario: Retry goes back into the iteration that failed
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2, 3] }'}
          do:
            - a: {set: {all: '${ (.all // []) + [$x] }'}}
            - c: {if: $x == 2, call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/1/503'}, output: {as: $input}}
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried
    Then the workflow should complete with output:
    """yaml
    all: [1, 2, 3]
    """
    And a should run 3 times

  Scenario: Retry gives a try its attempts again
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/3/503'}}}]
          catch: {retry: {limit: {attempt: {count: 1}}}}
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried
    Then the workflow should complete with output:
    """yaml
    call: 4
    """

  Scenario: A cancelled execution that is retried goes on where it stood
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: 1}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: .call}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the execution is cancelled
    Then the workflow should cancel
    When the execution is retried
    And the call to '/gate/c' has come 2 times
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    2
    """
    And a should run once

  Scenario: A retried execution ends once more, and only its last run counts
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/flaky/2/503'}}
    """
    When the workflow is executed
    Then the workflow should fault
    When the execution is retried
    Then the workflow should fault
    When the execution is retried
    Then the workflow should complete
    And the history should be:
    """
    workflow started, c started, c faulted, workflow faulted
    workflow retried, c started, c faulted, workflow faulted
    workflow retried, c started, c completed, workflow completed
    """

  Scenario Outline: What everything open is decides between waiting and running
    Given a workflow with definition:
    """yaml
    do:
      - f: {fork: {branches: [{a: <a>}, {b: <b>}]}}
    """
    When the workflow is started
    And 'a' has started
    And 'b' has started
    And the execution becomes '<status>'
    Then the execution should be '<status>'
    When the execution is cancelled
    Then the workflow should cancel
    Examples:
      | a | b | status |
      | {wait: PT1H} | {wait: PT2H} | waiting |
      | {wait: PT1H} | {listen: {to: {one: {with: {type: e}}}}} | waiting |
      | {wait: PT1H} | {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/x'}} | running |

  Scenario Outline: What an execution waits for
    Given a workflow with definition:
    """yaml
    do:
      - a: <task>
    """
    When the workflow is started
    And 'a' has started
    And the execution becomes '<status>'
    Then the execution should show:
    """yaml
    waitingFor: [{task: a, reference: /do/0/a, what: <what>}]
    """
    Examples:
      | task | status | what |
      | {wait: PT1H} | waiting | timer, until: '*' |
      | {listen: {to: {one: {with: {type: paid}}}}} | waiting | event, eventType: paid |
      | {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/x'}} | running | call |
