Feature: Loops
  for, while, and what their iterations see.

  Scenario: Each iteration gets the output of the one before
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: .items, at: i}
          do:
            - a: {set: {items: [], sum: '${ (.sum // 0) + $x }', at: '${ $i }'}}
    """
    And the workflow input is:
    """yaml
    items: [1, 2, 3]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {items: [], sum: 6, at: 2}
    """
    And a should run 3 times
    And f should run once

  Scenario: Item and index are the default names
    Given a workflow with definition:
    """yaml
    do:
      - f: {for: {in: '${ [5] }'}, do: [{a: {set: {v: '${ [$item, $index] }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: [5, 0]
    """

  Scenario: The collection may be a list in the text
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: c, in: [{n: red}, {n: '${ .green }'}]}
          do: [{a: {set: {green: '${ .green }', all: '${ (.all // []) + [$c.n] }'}}}]
    """
    And the workflow input is:
    """yaml
    green: green
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {green: green, all: [red, green]}
    """

  Scenario: A loop without an iteration gives its transformed input
    Given a workflow with definition:
    """yaml
    do:
      - f: {input: {from: .x}, for: {in: .items}, do: [{a: {set: {v: 1}}}]}
    """
    And the workflow input is:
    """yaml
    x: {items: []}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    items: []
    """
    And a should not run

  Scenario Outline: while is tested before each iteration, with item and index, on the output so far
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2, 3, 4] }'}
          while: '(.sum // 0) + $x < 7 and $index < 9'
          do: [{a: {set: {sum: '${ (.sum // 0) + $x }'}}}]
    """
    And the workflow input is:
    """yaml
    <input>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: <sum>
    """
    And a should run <times> times
    Examples:
      | input    | sum | times |
      | {}       | 6   | 3     |
      | {sum: 9} | 9   | 0     |

  Scenario: The collection is evaluated once, on the transformed input
    Given a workflow with definition:
    """yaml
    do:
      - f:
          input: {from: .x}
          for: {in: .items}
          do: [{a: {set: {items: [1, 2, 3, 4, 5], n: '${ (.n // 0) + 1 }'}}}]
    """
    And the workflow input is:
    """yaml
    x: {items: [1, 2]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {items: [1, 2, 3, 4, 5], n: 2}
    """

  Scenario: Exit ends one iteration
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2] }'}
          do:
            - a: {set: {v: '${ $x }'}, then: exit}
            - b: {set: {v: never}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 2
    """
    And a should run 2 times
    And b should not run

  Scenario: End in an iteration ends the workflow
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2] }'}
          do: [{a: {set: {v: '${ $x }'}, then: end}}]
      - z: {set: {v: never}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 1
    """
    And f should cancel
    And z should not run

  Scenario: What a loop goes over must be a list
    Given a workflow with definition:
    """yaml
    do:
      - f: {for: {in: .x}, do: [{a: {set: {v: 1}}}]}
    """
    And the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
    instance: /do/0/f
    """

  Scenario: Loop variables end with the loop
    Given a workflow with definition:
    """yaml
    do:
      - f: {for: {each: x, in: '${ [1] }'}, do: [{a: {set: {v: '${ $x }'}}}]}
      - b: {set: {v: '${ $x }'}}
    """
    Then the definition should be refused with 'E0402' at line 3

  Scenario: An inner loop sees the variables of the outer one
    Given a workflow with definition:
    """yaml
    do:
      - f:
          for: {each: x, in: '${ [1, 2] }'}
          do:
            - g:
                for: {each: y, in: '${ [10, 20] }'}
                do: [{a: {set: {all: '${ (.all // []) + [$x * $y] }'}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    all: [10, 20, 20, 40]
    """

  Scenario: References carry no mark of the iteration
    Given a workflow with definition:
    """yaml
    do:
      - f: {for: {each: x, in: '${ [1, 2] }'}, do: [{a: {set: {v: '${ $task.reference }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: /do/0/f/do/0/a
    """
    And a should have the reference:
    """yaml
    /do/0/f/do/0/a
    """

  Scenario: A loop of more than ten thousand items is refused by a named limit
    Given a workflow with definition:
    """yaml
    do:
      - f: {for: {in: '${ [range(10001)] }'}, do: [{a: {set: {v: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    detail: '*for-items*'
    """
