Feature: Run
  Shell commands and scripts.

  Scenario: A command gets its arguments, standard input and environment, and its output is not trimmed
    Given a workflow with definition:
    """yaml
    do:
      - r:
          run:
            shell:
              command: 'read line; echo "$line $1 $2 $KIND"'
              arguments: ['${ .first }', second]
              stdin: ${ .text }
              environment: {KIND: '${ .kind }'}
    """
    And the workflow input is:
    """yaml
    {first: one, text: in, kind: env}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "in one second env\n"
    """

  Scenario: Expressions in a command are filled in
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {shell: {command: 'printf %s ${ .n }-$((1 + 1))'}}}
    """
    And the workflow input is:
    """yaml
    n: 7
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    '7-2'
    """

  Scenario Outline: What is returned
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {shell: {command: 'printf out; printf err >&2'}<return>}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <output>
    """
    Examples:
      | return | output |
      |                  | out |
      | , return: stdout | out |
      | , return: stderr | err |
      | , return: code   | 0 |
      | , return: none   | null |
      | , return: all    | {code: 0, stdout: out, stderr: err} |

  Scenario Outline: An exit code other than zero is a runtime error, whatever is returned
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {run: {shell: {command: exit 3}, return: <return>}}}]
          catch: {do: [{h: {set: {error: '${ [$error.type, $error.status, $error.instance] }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    error: ['https://open-workflow-specification.org/spec/1.0.0/errors/runtime', 500, /do/0/t/try/0/r]
    """
    Examples:
      | return |
      | stdout |
      | code   |
      | none   |

  Scenario: A command that is not awaited
    Given a workflow with definition:
    """yaml
    do:
      - r: {input: {from: .x}, run: {await: false, shell: {command: sleep 1}}}
      - z: {set: {z: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    z: 1
    """

  Scenario: A timeout ends a command
    Given a workflow with definition:
    """yaml
    do:
      - r: {timeout: {after: PT0.2S}, run: {shell: {command: sleep 100}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 408, instance: /do/0/r}
    """

  Scenario: A cancel ends a command
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {shell: {command: sleep 100}}}
    """
    When the workflow is started
    And the execution waits for a 'call'
    And the execution is cancelled
    Then the workflow should cancel
    And r should cancel

  Scenario Outline: Scripts get their arguments behind the script, and their code is never evaluated
    Given a workflow with definition:
    """yaml
    do:
      - r:
          run:
            script:
              language: <language>
              arguments: ['${ .a }']
              code: |
                <code>
    """
    And the workflow input is:
    """yaml
    a: one
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "one ${ .a }\n"
    """
    Examples:
      | language | code |
      | js       | console.log(process.argv[2] + ' ${ .a }') |
      | python   | import sys; print(sys.argv[1] + ' ${ .a }') |

  Scenario: A secret in the environment of a command, and nothing of it in its output
    Given a workflow with definition:
    """yaml
    use: {secrets: [key]}
    do:
      - r: {run: {shell: {command: 'test "$KEY" = s3cret-word && echo "$KEY"', environment: {KEY: '${ $secrets.key }'}}}}
    """
    And the secret 'key' is:
    """yaml
    s3cret-word
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "***\n"
    """

  Scenario: A script that fails can be retried
    Given a workflow with definition:
    """yaml
    do:
      - t:
          try: [{r: {run: {shell: {command: 'test "$TIDEMILL_ATTEMPT" = 2 && echo done'}}}}]
          catch: {retry: {limit: {attempt: {count: 1}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "done\n"
    """

  Scenario: A command that was open at a kill is run again
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {shell: {command: 'sleep 2; echo done'}}}
    """
    When the workflow is started
    And the execution waits for a 'call'
    And the server is killed and started again
    Then the workflow should complete with output:
    """yaml
    "done\n"
    """
    And r should run once

  Scenario: A script that was open at a kill is run again
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {script: {language: python, code: 'import time; time.sleep(2); print("done")'}}}
    """
    When the workflow is started
    And the execution waits for a 'call'
    And the server is killed and started again
    Then the workflow should complete with output:
    """yaml
    "done\n"
    """

  Scenario: Containers are refused
    Given a workflow with definition:
    """yaml
    do:
      - r: {run: {container: {image: hello-world}}}
    """
    Then the definition should be refused with 'E0909' at line 2
