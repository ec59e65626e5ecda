Feature: Extensions
  Tasks before and after others, and in place of them.

  Scenario: before and after run around the task, and their outputs are dropped
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - log:
            extend: set
            before: [{b: {set: {lost: 1}}}]
            after: [{a: {set: {lost: 2}}}]
    do:
      - x: {set: {n: '${ .n + 1 }'}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 2
    """
    And b should run before a
    And b should have the reference:
    """yaml
    /use/extensions/0/log/before/0/b
    """

  Scenario: Several extensions run in the order of declaration, before and after
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - one: {extend: set, before: [{b1: {set: {v: 1}}}], after: [{a1: {set: {v: 1}}}]}
        - two: {extend: all, before: [{b2: {set: {v: 1}}}], after: [{a2: {set: {v: 1}}}]}
    do:
      - x: {set: {n: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
    And b1 should run before b2
    And b2 should run before a1
    And a1 should run before a2
    And b1 should run once

  Scenario Outline: An extension extends the kind it names, where its condition holds
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - e: {<extend>, before: [{b: {set: {v: 1}}}]}
    do:
      - x: {set: {n: 1}}
      - y: {do: [{z: {wait: {milliseconds: 5}}}]}
    """
    When the workflow is executed
    Then the workflow should complete
    And b should run <times> times
    Examples:
      | extend | times |
      | extend: set | 1 |
      | extend: wait | 1 |
      | extend: composite | 1 |
      | extend: all | 3 |
      | extend: call | 0 |
      | extend: all, when: '$task.name == "x"' | 1 |
      | extend: set, when: '$task.set.n == 2' | 0 |

  Scenario: before with then exit replaces the task with its output
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - mock:
            extend: call
            when: '$task.with.endpoint | startswith("http://api.example.com/")'
            before: [{answer: {set: {mocked: true}, then: exit}}]
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/echo'}}
      - z: {set: {z: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: {mocked: true}
    """
    And the call to '/echo' should have come 0 times

  Scenario: A fault in an extension can be caught around the extended task
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - guard: {extend: wait, before: [{r: {raise: {error: {type: 'https://e.com/e', status: 418}}}}]}
    do:
      - t:
          try: [{w: {wait: PT1H}}]
          catch: {do: [{h: {set: {at: '${ $error.instance }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /use/extensions/0/guard/before/0/r
    """

  Scenario: An extension that was open at a kill goes on
    Given a workflow with definition:
    """yaml
    use:
      extensions:
        - e: {extend: set, before: [{c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}}]}
    do:
      - x: {set: {n: 1}}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
