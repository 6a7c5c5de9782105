# What the tests of Ruby's queues share: requests, a look at the rows, and what arrived at the
# receiver.
#
# OpenTelemetry's gems cannot be had from Debian.  Where they are installed, a request is a span
# that the SDK exported; else a context is made up.  Either way it is set in a transaction, as
# docs/stacks.md shows for Rails.
require 'json'
require 'logger'
require 'securerandom'
require 'tmpdir'
require 'active_record'

$stdout.sync = true
QUEUE = File.basename($PROGRAM_NAME, '.rb')

begin
  require 'opentelemetry-sdk'
  EXPORTER = OpenTelemetry::SDK::Trace::Export::InMemorySpanExporter.new
  OpenTelemetry::SDK.configure do |config|
    config.add_span_processor(
      OpenTelemetry::SDK::Trace::Export::SimpleSpanProcessor.new(EXPORTER)
    )
  end
  puts "# requests are spans of OpenTelemetry's SDK #{OpenTelemetry::SDK::VERSION}"
rescue LoadError
  puts "# OpenTelemetry's SDK is not installed: requests have contexts that are made up"
end
MADE_UP = []

def is(got, expected, name)
  puts "#{got == expected ? 'ok' : 'not ok'} - #{QUEUE}: #{name}"
  return if got == expected

  puts "# got #{got.inspect[0, 500]}, expected #{expected.inspect[0, 500]}"
end

def connect
  ActiveRecord::Base.logger = Logger.new(nil)
  ActiveRecord::Migration.verbose = false
  ActiveRecord::Base.establish_connection(
    adapter: 'postgresql', database: ENV.fetch('PGDATABASE'), min_messages: 'warning'
  )
end

# The smallest Rails application whose jobs the adapter takes.
def rails_application(adapter)
  connect
  ENV['DATABASE_URL'] = "postgresql:///#{ENV.fetch('PGDATABASE')}"
  Object.const_set(:Application, Class.new(Rails::Application) do
    config.root = Dir.mktmpdir
    config.eager_load = false
    config.logger = Logger.new(nil)
    config.secret_key_base = 'x' * 64
    config.active_job.queue_adapter = adapter
    yield config if block_given?
  end)
  Application.initialize!
end

def execute(sql) = ActiveRecord::Base.connection.execute(sql)
def values(sql) = ActiveRecord::Base.connection.select_values(sql)
def shape(table) = values("SELECT shape('#{table}')").first

# The folder of a library that is loaded.
def library(file) = File.expand_path('../..', $LOADED_FEATURES.grep(%r{/#{file}\.rb$}).first)

# Runs a migration out of a library's template.
def migrate(template)
  text = File.read(template)
  eval(text.gsub('<%= migration_version %>', '[6.1]'))
  text[/class (\w+)/, 1].constantize.migrate(:up)
end

# Runs the statement that docs/queues.md shows for this queue.
def run_documented(name)
  execute(File.read(File.join('documented', QUEUE, "#{name}.sql")))
end

# What a process knows that was started a moment ago.
def restart(*models)
  ActiveRecord::Base.connection.schema_cache.clear!
  models.each do |model|
    model.connection.clear_cache!
    model.reset_column_information
  end
end

def in_span
  unless defined?(EXPORTER)
    MADE_UP << "00-#{SecureRandom.hex(16)}-#{SecureRandom.hex(8)}-01"
    return yield(MADE_UP.last)
  end
  OpenTelemetry::Context.with_current(OpenTelemetry::Context::ROOT) do
    OpenTelemetry.tracer_provider.tracer('test').in_span('request') do
      carrier = {}
      OpenTelemetry.propagation.inject(carrier)
      yield carrier['traceparent']
    end
  end
end

# Runs the block in a request; returns the request's traceparent and what the block returned.
def request
  in_span do |traceparent|
    result = ActiveRecord::Base.transaction do
      execute("SELECT otel.set_trace_context('#{traceparent}')::text")
      yield
    end
    [traceparent, result]
  end
end

# The traceparents of all requests; of spans, those that were exported.
def requests
  return MADE_UP unless defined?(EXPORTER)

  EXPORTER.finished_spans.map { |span| "00-#{span.hex_trace_id}-#{span.hex_span_id}-01" }
end

# What the batch span is linked to that the documentation starts, as the receiver decoded it: the
# traceparents of requests, and "unknown" for what is no request.
def linked_requests
  ActiveRecord::Base.transaction do
    run_documented('batch')
    execute('SELECT otel.end_span()::text')
  end
  execute('SELECT otel.force_flush()::text')
  batch, = File.readlines(ENV.fetch('RECEIVED')).map { |line| JSON.parse(line) }
  batch['links'].map do |link|
    traceparent = "00-#{link['trace_id']}-#{link['span_id']}-01"
    requests.include?(traceparent) ? traceparent : 'unknown'
  end.sort
end

# Five requests that enqueue by the block; then the batch span has them.
def test_batch
  contexts = Array.new(5) { request { yield }.first }
  is(linked_requests, contexts.sort, 'the batch span is linked to each request')
end
