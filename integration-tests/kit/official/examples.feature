Feature: Official examples
  What each official example is given, and how it has to end. A scenario is named like its file; the definition is the
  file's own text.

  Scenario: authentication-bearer-uri-format.yaml
    And the workflow input is:
    """yaml
    {petId: 1, token: t}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 1, name: pet 1, status: available}
    """

  Scenario: authentication-bearer.yaml
    And the workflow input is:
    """yaml
    token: t
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 1, name: pet 1, status: available}
    """

  Scenario: authentication-reusable.yaml
    And the workflow input is:
    """yaml
    {petId: 2, token: t}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 2, name: pet 2, status: available}
    """

  Scenario: call-custom-function-inline.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 69, name: pet 69, status: available}
    """

  Scenario: call-http-endpoint-interpolation-shorthand.yaml
    And the workflow input is:
    """yaml
    petId: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 1, name: pet 1, status: available}
    """

  Scenario: call-http-endpoint-interpolation.yaml
    And the workflow input is:
    """yaml
    petId: 2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 2, name: pet 2, status: available}
    """

  Scenario: call-http-query-headers-expressions.yaml
    And the workflow input is:
    """yaml
    searchQuery: r2
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    results: [{query: {search: r2}, headers: {accept: application/json}}]
    """

  Scenario: call-http-query-parameters.yaml
    And the workflow input is:
    """yaml
    searchQuery: r2
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    results: [{query: {search: r2}}]
    """

  Scenario: call-http-redirect.yaml
    And the workflow input is:
    """yaml
    searchQuery: r2
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    results: [{query: {search: r2}}]
    """

  Scenario: conditional-task.yaml
    And the workflow input is:
    """yaml
    {customer: {age: 20}, bet: 1}
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    {method: POST, path: /api/bet/on/football, body: {customer: .customer, bet: .bet}}
    """
    And raiseErrorIfUnderage should not run

  Scenario: do-multiple.yaml
    And the workflow input is:
    """yaml
    petId: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/communication', status: 404, instance: /do/1/buyPet}
    """
    And getPet should complete

  Scenario: do-single.yaml
    And the workflow input is:
    """yaml
    petId: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 1, name: pet 1, status: available}
    """

  Scenario: emit.yaml
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    {type: com.petstore.order.placed.v1, source: 'https://petstore.com', data: {client: {firstName: Cruella, lastName: de Vil}}}
    """

  Scenario: for-inline-array.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    processed: [{name: red, hex: '#FF0000'}, {name: green, hex: '#00FF00'}, {name: blue, hex: '#0000FF'}]
    """

  Scenario: for.yaml
    And the workflow input is:
    """yaml
    {pets: [{id: 1}], vet: null}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {pets: [{id: 1}], vet: null}
    """
    And waitForCheckup should not run

  Scenario: fork.yaml
    And the workflow input is:
    """yaml
    {patient: {fullName: Ada}, room: {number: 7}}
    """
    When the workflow is executed
    Then the workflow should complete with output like:
    """yaml
    {method: PUT, path: '/api/v3/alert/*', body: {patientId: Ada, room: 7}}
    """

  Scenario: listen-to-one.yaml
    When the workflow is started
    And the execution becomes 'waiting'
    And this event is posted:
    """yaml
    {type: com.virtual-wf-powered-race.events.race.started.v1, data: {n: 1}}
    """
    Then the workflow should complete with output like:
    """yaml
    {method: POST, path: /api/v4/cars//start}
    """

  Scenario: raise-inline.yaml
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 500, title: Not Implemented, instance: /do/0/notImplemented, detail: "*'raise-not-implemented:0.1.0'*"}
    """

  Scenario: raise-reusable.yaml
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 500, title: Not Implemented, instance: /do/0/notImplemented, detail: "*'raise-not-implemented:0.1.0'*"}
    """

  Scenario: run-subflow.yaml
    And another workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: register-customer, version: '0.1.0'}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    And the workflow input is:
    """yaml
    user: ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: {customer: .user}
    """

  Scenario: star-wars-homeworld.yaml
    And the workflow input is:
    """yaml
    id: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    name: Seven
    """

  Scenario: switch-then-string.yaml
    And the workflow input is:
    """yaml
    orderType: physical
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {inventory: clear, items: 1, address: Elmer St}
    """
    And processOrder should run first
    And processPhysicalOrder should run last

  Scenario: try-catch-retry-inline.yaml
    And the workflow input is:
    """yaml
    petId: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: 1, name: pet 1, status: available}
    """

  Scenario: try-catch-retry-reusable.yaml
    And the workflow input is:
    """yaml
    petId: 7
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 404, instance: /do/0/tryGetPet/try/0/getPet}
    """
    And getPet should run once

  Scenario: try-catch-then-directive.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    status: failed
    """

  Scenario: try-catch-then.yaml
    And the workflow input is:
    """yaml
    petId: 7
    """
    When the workflow is executed
    Then the workflow should complete
    And buyPet should not run
    And an event of type 'io.swagger.petstore.events.pets.not-found.v1' should be stored with:
    """yaml
    data: {status: 404, instance: /do/0/tryGetPet/try/0/getPet}
    """

  Scenario: try-catch.yaml
    And the workflow input is:
    """yaml
    petId: 7
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    petId: 7
    """

  Scenario: wait-duration-inline.yaml
    When the workflow is started
    And the execution becomes 'waiting'
    Then the execution should show:
    """yaml
    waitingFor: [{task: wait30Seconds, what: timer}]
    """

  Scenario: wait-duration-iso8601.yaml
    When the workflow is started
    And the execution becomes 'waiting'
    Then the execution should show:
    """yaml
    waitingFor: [{task: wait30Seconds, what: timer}]
    """

  Scenario: run-shell-stdin-and-arguments.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "STDIN was: Hello World\nARGS are Foo Bar\n"
    """

  Scenario: run-script-with-stdin-and-arguments.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "stdin >  Hello Workflow\narg >  hello\nenv >  bar\n"
    """

  Scenario: mock-service-extension.yaml
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/expression', status: 400, instance: /do/0/callHttp}
    """

  Scenario: call-custom-function-cataloged.yaml
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    logged: Hello, world!
    """
