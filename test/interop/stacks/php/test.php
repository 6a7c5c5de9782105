<?php
/*
 * PDO as docs/stacks.md sets it up.  Prints TAP lines.
 *
 * Where Composer's vendor/autoload.php has OpenTelemetry's API, the request's context goes through
 * its propagator; elsewhere what the documentation calls of it is below.
 */
namespace {
    if (is_file('vendor/autoload.php')) {
        require 'vendor/autoload.php';
    }
}

namespace OpenTelemetry\API {
    if (!class_exists(Globals::class)) {
        final class Globals
        {
            public static ?string $traceparent = null;

            public static function propagator(): self
            {
                return new self();
            }

            public function inject(array &$carrier): void
            {
                if (self::$traceparent !== null) {
                    $carrier['traceparent'] = self::$traceparent;
                }
            }
        }
    }
}

namespace {
    use OpenTelemetry\API\Globals;
    use OpenTelemetry\API\Instrumentation\Configurator;
    use OpenTelemetry\API\Trace\Propagation\TraceContextPropagator;

    require 'in_transaction.php';

    function is($got, $expected, string $name): void
    {
        echo $got === $expected ? 'ok' : 'not ok', " - php: $name\n";
        if ($got !== $expected) {
            echo '# got ', json_encode($got), ', expected ', json_encode($expected), "\n";
        }
    }

    // Runs the work in a request of its own, and returns the request's context.
    function request(callable $work): string
    {
        $traceparent = sprintf('00-%s-%s-01', bin2hex(random_bytes(16)), bin2hex(random_bytes(8)));
        if (property_exists(Globals::class, 'traceparent')) {
            Globals::$traceparent = $traceparent;
            try {
                $work();
            } finally {
                Globals::$traceparent = null;
            }
            return $traceparent;
        }
        $propagator = TraceContextPropagator::getInstance();
        $scope = Configurator::create()->withPropagator($propagator)
            ->storeInContext($propagator->extract(['traceparent' => $traceparent]))->activate();
        try {
            $work();
        } finally {
            $scope->detach();
        }
        return $traceparent;
    }

    // The contexts of the rows since the last call.
    function recorded(PDO $db): array
    {
        return $db->query('WITH gone AS (DELETE FROM jobs RETURNING id, trace_context)
            SELECT trace_context::text FROM gone ORDER BY id')->fetchAll(PDO::FETCH_COLUMN);
    }

    function test_connection(PDO $db, string $how): void
    {
        $insert = $db->prepare('INSERT INTO jobs (payload) VALUES (?)');
        for ($i = 1; $i <= 3; $i++) {
            $context = request(fn() => in_transaction($db, function (PDO $db) use ($insert) {
                $insert->execute(['x']);
                $db->exec("INSERT INTO jobs (payload) VALUES ('x'), ('x')");
                $db->pgsqlCopyFromArray('jobs (payload)', ['x', 'x']);
            }));
            is(recorded($db), array_fill(0, 5, $context),
                "$how: a prepared statement, exec and COPY have their request's context, request $i");
        }
        $insert->execute(['x']);
        is(recorded($db), [null], "$how: nothing of a transaction is left on its connection");
        try {
            request(fn() => in_transaction($db, fn() => throw new RuntimeException('no')));
        } catch (RuntimeException) {
        }
        $insert->execute(['x']);
        is(recorded($db), [null], "$how: nor of one that failed");
        in_transaction($db, fn() => $insert->execute(['x']));
        is(recorded($db), [null], "$how: outside of a request the context is NULL");
    }

    $dsn = sprintf('pgsql:host=%s;port=%s;dbname=%s',
        getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE'));
    $db = new PDO($dsn, getenv('PGUSER'));
    $db->exec("SET client_min_messages = warning;
        CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL);
        SELECT otel.add_trace_context('jobs')");
    test_connection($db, 'prepared by the server');
    $emulated = new PDO($dsn, getenv('PGUSER'), null, [PDO::ATTR_EMULATE_PREPARES => true]);
    test_connection($emulated, 'prepared by PDO');
}
