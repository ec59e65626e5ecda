Feature: HTTP calls
  What is sent, what is read, and when a call fails.

  Scenario: A call sends method, query, headers and body
    Given a workflow with definition:
    """yaml
    do:
      - c:
          call: http
          with:
            method: PoSt
            endpoint: http://api.example.com/echo?own=1
            query: {a: '${ .n }', b: x y}
            headers: {x-own: '${ .s }'}
            body: {n: '${ .n }', list: ['${ .s }', plain]}
    """
    And the workflow input is:
    """yaml
    {n: 1, s: word}
    """
    When the workflow is executed
    Then the workflow should complete
    And the call to '/echo' should carry:
    """yaml
    method: POST
    query: {own: '1', a: '1', b: x%20y}
    headers: {x-own: word, content-type: application/json, host: api.example.com}
    body: {n: 1, list: [word, plain]}
    """

  Scenario: A body that is no object is sent as JSON too
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: put, endpoint: 'http://api.example.com/echo', body: '${ .list }'}, output: {as: .body}}
    """
    And the workflow input is:
    """yaml
    list: [1, two]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, two]
    """

  Scenario Outline: URI templates take top-level properties, percent-encoded
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/echo/{name}'}, output: {as: .path}}
    """
    And the workflow input is:
    """yaml
    <input>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <path>
    """
    Examples:
      | input | path |
      | {name: a} | /echo/a |
      | {name: 7} | /echo/7 |
      | {name: 'a/b c'} | /echo/a%2Fb%20c |
      | {} | /echo/ |

  Scenario: An object in a URI template is an expression error
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/echo/{name}'}}
    """
    And the workflow input is:
    """yaml
    name: {first: a}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/expression', status: 400, instance: /do/0/c}
    """

  Scenario: An endpoint may be an expression
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: '${ "http://api.example.com/hello/\(.name)" }'}}
    """
    And the workflow input is:
    """yaml
    name: ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    hello: ada
    """

  Scenario Outline: The three forms of output
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/hello/a', output: <output>}}
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    <value>
    """
    Examples:
      | output   | value |
      | content  | {hello: a} |
      | raw      | eyJoZWxsbyI6ImEifQ== |
      | response | {request: {method: GET, uri: 'http://*/hello/a', headers: {}}, statusCode: 200, headers: {content-type: application/json}, content: {hello: a}} |

  Scenario: Content that is no JSON is text
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/text'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    plain text
    """

  Scenario Outline: A failed call has its status in every form of output
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/status/<status>', output: <output>}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/communication', status: <status>}
    """
    Examples:
      | status | output   |
      | 400    | content  |
      | 404    | response |
      | 500    | raw      |
      | 304    | content  |

  Scenario: No answer at all is a communication error
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/silent'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/communication', instance: /do/0/c}
    """

  Scenario Outline: Redirects are errors unless they are asked for
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/redirect/302', redirect: <redirect>}}
    """
    When the workflow is executed
    Then the execution should be '<status>'
    Examples:
      | redirect | status    |
      | true     | completed |
      | false    | faulted   |

  Scenario Outline: Credentials in the definition
    Given a workflow with definition:
    """yaml
    use: {authentications: {named: {basic: {username: '${ .user }', password: p}}}}
    do:
      - c: {call: http, with: {method: get, endpoint: {uri: 'http://api.example.com/<path>', authentication: {<authentication>}}}}
    """
    And the workflow input is:
    """yaml
    user: u
    """
    When the workflow is executed
    Then the execution should be '<status>'
    Examples:
      | path | authentication | status |
      | basic/u/p | basic: {username: u, password: p} | completed |
      | basic/u/p | basic: {username: u, password: x} | faulted |
      | basic/u/p | use: named | completed |
      | bearer/t0ken | bearer: {token: t0ken} | completed |
      | bearer/t0ken | bearer: {token: '${ .user }'} | faulted |

  Scenario: No credentials are sent unless asked for
    Given a workflow with definition:
    """yaml
    do:
      - c: {call: http, with: {method: get, endpoint: 'http://api.example.com/echo'}, output: {as: '.headers | has("authorization")'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    false
    """
