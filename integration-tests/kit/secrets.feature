Feature: Secrets
  Declared ones only, read when a call is sent, never shown.

  Scenario: A secret goes out with a call and is masked in its output
    Given a workflow with definition:
    """yaml
    use: {secrets: [key]}
    do:
      - c:
          call: http
          with: {method: post, endpoint: 'http://api.example.com/echo', headers: {x-key: '${ $secrets.key }'}, output: response}
          output: {as: '[.request.headers["x-key"], .content.headers["x-key"]]'}
    """
    And the secret 'key' is:
    """yaml
    s3cret-word
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ['***', '***']
    """
    And the call to '/echo' should carry:
    """yaml
    headers: {x-key: s3cret-word}
    """

  Scenario Outline: Credentials from a secret
    Given a workflow with definition:
    """yaml
    use: {secrets: [login]}
    do:
      - c: {call: http, with: {method: get, endpoint: {uri: 'http://api.example.com/<path>', authentication: {<scheme>: {use: login}}}}}
    """
    And the secret 'login' is:
    """yaml
    {username: u, password: p, token: t0ken}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    authenticated: true
    """
    Examples:
      | path | scheme |
      | basic/u/p | basic |
      | bearer/t0ken | bearer |

  Scenario: A declared secret that does not exist is an authorization error, and nothing is sent
    Given a workflow with definition:
    """yaml
    use: {secrets: [absent]}
    do:
      - c: {call: http, with: {method: post, endpoint: 'http://api.example.com/echo', body: '${ $secrets.absent }'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/authorization', status: 403, instance: /do/0/c}
    """
    And the call to '/echo' should have come 0 times

  Scenario: An undeclared secret is an authorization error, and nothing is sent
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: post, endpoint: 'http://api.example.com/echo', body: '${ $secrets.undeclared }'}}
    """
    And the secret 'undeclared' is:
    """yaml
    word
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/authorization', status: 403, instance: /do/0/c}
    """
    And the call to '/echo' should have come 0 times

  Scenario Outline: Secrets are readable nowhere else
    Given a workflow with definition:
    """yaml
    use: {secrets: [key]}
    do:
      - a: {<part>}
    """
    Then the definition should be refused with 'E0403' at line 3
    Examples:
      | part |
      | set: {v: '${ $secrets.key }'} |
      | if: $secrets.key, set: {v: 1} |
      | set: {v: 1}, output: {as: $secrets.key} |
      | set: {v: 1}, export: {as: $secrets.key} |
      | emit: {event: {with: {type: t, source: /s, data: '${ $secrets.key }'}}} |
      | raise: {error: {type: 'https://e.com/e', status: 1, detail: '${ $secrets.key }'}} |
      | set: {v: 1}, input: {from: $secrets.key} |
      | wait: '${ $secrets.key }' |
      | listen: {to: {one: {with: {type: t, subject: '${ $secrets.key }'}}}} |
      | run: {workflow: {namespace: default, name: w, version: latest, input: {v: '${ $secrets.key }'}}} |
      | call: 'http://api.example.com/f.yaml', with: {v: '${ $secrets.key }'} |
