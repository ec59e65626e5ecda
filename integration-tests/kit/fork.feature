Feature: Fork
  Branches side by side: joins, races, contexts.

  Scenario: Outputs stand in the order of declaration, whichever ends first
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/a'}, output: {as: .gate}}
              - b: {set: {b: '${ .n }'}}
              - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}, output: {as: .gate}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is started
    And the call to '/gate/a' has come
    And the call to '/gate/c' is answered
    And 'c' has completed
    And the call to '/gate/a' is answered
    Then the workflow should complete with output:
    """yaml
    [a, {b: 1}, c]
    """
    And the history should be:
    """
    workflow started, f started, a started, b started, c started, b completed, c completed, a completed, f completed, workflow completed
    """

  Scenario: A race is won by the first success, and the others are cancelled
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - slow: {wait: PT1H}
              - held: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/never'}}
              - fast: {do: [{one: {set: {r: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    r: 1
    """
    And slow should cancel
    And held should cancel
    And fast should complete

  Scenario: A race goes on over faults while a branch can still win
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - bad: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/500'}}
              - good: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/good'}, output: {as: .gate}}
    """
    When the workflow is started
    And the call to '/gate/good' has come
    And the call to '/status/500' has come
    And the call to '/gate/good' is answered
    Then the workflow should complete with output:
    """yaml
    good
    """

  Scenario: A race that all lose fails with the last error
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            compete: true
            branches:
              - a: {raise: {error: {type: 'https://e.com/a', status: 401}}}
              - b: {do: [{w: {wait: PT0.05S}}, {r: {raise: {error: {type: 'https://e.com/b', status: 402}}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://e.com/b', status: 402, instance: /do/0/f/fork/branches/1/b/do/1/r}
    """

  Scenario: A fault in one branch cancels the others
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {do: [{w: {wait: PT1H}}]}
              - b: {raise: {error: {type: 'https://e.com/b', status: 402}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://e.com/b', status: 402, instance: /do/0/f/fork/branches/1/b}
    """
    And the history should be:
    """
    workflow started, f started, a started, b started, b faulted, a cancelled, f faulted, workflow faulted
    """

  Scenario: Each branch has a copy of the context; on join the exports are merged in order
    Given a workflow with definition:
    """yaml
    do:
      - s: {set: {x: 1}, export: {as: '{base: 1, k: 0}'}}
      - f:
          fork:
            branches:
              - a: {set: {v: '${ $context }'}, export: {as: '{k: 1, a: 1}'}}
              - b: {set: {v: '${ $context }'}, export: {as: '{k: 2}'}}
              - c: {set: {v: '${ $context }'}}
      - z: {set: {f: '${ . }', c: '${ $context }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    f: [{v: {base: 1, k: 0}}, {v: {base: 1, k: 0}}, {v: {base: 1, k: 0}}]
    c: {base: 1, k: 2, a: 1}
    """

  Scenario: Of a race only the winner's context is kept
    Given a workflow with definition:
    """yaml
    do:
      - s: {set: {x: 1}, export: {as: '{base: 1}'}}
      - f:
          fork:
            compete: true
            branches:
              - a: {set: {v: 1}, export: {as: '{a: 1}'}}
              - b: {do: [{w: {wait: PT1H}}]}
      - z: {set: {c: '${ $context }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    c: {a: 1}
    """

  Scenario: A skipped branch passes its input
    Given a workflow with definition:
    """yaml
    do:
      - f: {fork: {branches: [{a: {if: 'false', set: {v: 1}}}, {b: {if: .b, set: {v: 2}}}]}}
    """
    And the workflow input is:
    """yaml
    b: true
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{b: true}, {v: 2}]
    """

  Scenario: Exit in a branch ends that branch
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {set: {r: 0}}
              - b: {do: [{one: {set: {r: 1}, then: exit}}, {never: {set: {r: 2}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{r: 0}, {r: 1}]
    """

  Scenario: End in a branch ends the workflow and cancels the others
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {wait: PT1H}
              - b: {do: [{in: {set: {r: 1}, then: end}}]}
      - z: {set: {never: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    r: 1
    """
    And a should cancel
    And f should cancel
    And z should not run

  Scenario: Branches in branches
    Given a workflow with definition:
    """yaml
    do:
      - f:
          fork:
            branches:
              - a: {fork: {branches: [{a1: {set: {n: 1}}}, {a2: {set: {n: 2}}}]}}
              - b: {fork: {compete: true, branches: [{b1: {set: {n: 3}}}]}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [[{n: 1}, {n: 2}], {n: 3}]
    """
