Feature: Fetched definitions
  Functions and schemas from elsewhere, and the modes of expressions.

  Scenario: A function by URL
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'http://api.example.com/functions/greet.yaml', with: {name: '${ .who }'}}
    """
    And the address '/functions/greet.yaml' serves:
    """yaml
    set: {greeting: '${ "Hello \(.name)" }', context: '${ $context }'}
    """
    And the workflow input is:
    """yaml
    who: Ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {greeting: Hello Ada, context: {}}
    """
    And the history should be:
    """
    workflow started, a started, a completed, workflow completed
    """

  Scenario: A function of a catalog
    Given a workflow with definition:
    """yaml
    use: {catalogs: {own: {endpoint: {uri: 'http://api.example.com/catalog'}}}}
    do:
      - a: {call: 'double:1.0.0@own', with: {n: 4}}
    """
    And the address '/catalog/functions/double/1.0.0/function.yaml' serves:
    """yaml
    set: {n: '${ .n * 2 }'}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 8
    """

  Scenario: A function that cannot be fetched is an error of the task
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'http://api.example.com/functions/absent.yaml'}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 404, instance: /do/0/a}
    """

  Scenario Outline: A schema from elsewhere
    Given a workflow with definition:
    """yaml
    do:
      - a: {input: {schema: {resource: {endpoint: 'http://api.example.com/schema.json'}}}, set: {ok: true}}
    """
    And the address '/schema.json' serves:
    """yaml
    {"type": "object", "required": ["id"]}
    """
    And the workflow input is:
    """yaml
    <input>
    """
    When the workflow is executed
    Then the execution should be '<status>'
    Examples:
      | input | status |
      | {id: 1} | completed |
      | {} | faulted |

  Scenario: What an execution fetched it keeps
    Given a workflow with definition:
    """yaml
    do:
      - a: {call: 'http://api.example.com/functions/one.yaml'}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - b: {call: 'http://api.example.com/functions/one.yaml'}
    """
    And the address '/functions/one.yaml' serves:
    """yaml
    set: {v: 1}
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the address '/functions/one.yaml' serves:
    """yaml
    set: {v: 2}
    """
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    v: 1
    """
    And the call to '/functions/one.yaml' should have come 1 times

  Scenario: The text of a script from elsewhere is kept over a kill
    Given a workflow with definition:
    """yaml
    do:
      - a: {run: {script: {language: python, source: {endpoint: {uri: 'http://api.example.com/scripts/one.py'}}, arguments: ['${ .n }']}}}
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/gate/c'}}
      - b: {run: {script: {language: python, source: {endpoint: 'http://api.example.com/scripts/one.py'}, arguments: [two]}}}
    """
    And the address '/scripts/one.py' serves:
    """yaml
    import sys
    print(sys.argv[1], '${ .n }', end='')
    """
    And the workflow input is:
    """yaml
    n: one
    """
    When the workflow is started
    And the call to '/gate/c' has come
    And the server is killed and started again
    And the address '/scripts/one.py' serves:
    """yaml
    print('another')
    """
    And the call to '/gate/c' is answered
    Then the workflow should complete with output:
    """yaml
    'two ${ .n }'
    """
    And the call to '/scripts/one.py' should have come 1 times
    And the history should be:
    """
    workflow started, a started, a completed, c started, c completed, b started, b completed, workflow completed
    """

  Scenario: A script that cannot be fetched is an error of the task
    Given a workflow with definition:
    """yaml
    do:
      - a: {run: {script: {language: js, source: {endpoint: 'http://api.example.com/scripts/absent.js'}}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 404, instance: /do/0/a}
    """

  Scenario: In mode loose every text is tried as an expression and stays text where it is none
    Given a workflow with definition:
    """yaml
    evaluate: {mode: loose}
    do:
      - a: {set: {n: .n + 1, text: 'not an expression', dressed: '${ .n }'}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {n: 2, text: not an expression, dressed: 1}
    """
