# ActiveRecord as docs/stacks.md sets it up.  Prints TAP lines.
#
# Where the gems of OpenTelemetry are installed, requests are spans of its SDK; elsewhere the
# contexts come from below, and what its instrumentation of pg sends is not tested.
require 'erb'
require 'logger'
require 'securerandom'
require 'stringio'
require 'rails'
require 'active_record/railtie'

begin
  require 'opentelemetry/sdk'
  require 'opentelemetry/instrumentation/pg'
  WITH_SDK = true
rescue LoadError
  WITH_SDK = false

  # What docs/stacks.md calls of the API.
  module OpenTelemetry
    PROPAGATION = Object.new
    def PROPAGATION.inject(carrier)
      carrier['traceparent'] = Thread.current[:traceparent] if Thread.current[:traceparent]
    end

    def self.propagation = PROPAGATION
  end
end

require_relative 'migration'
require_relative 'traced'

ActiveRecord::Migration.verbose = false

class Job < ActiveRecord::Base
end

def is(got, expected, name)
  puts "#{got == expected ? 'ok' : 'not ok'} - rails: #{name}"
  puts "# got #{got.inspect}, expected #{expected.inspect}" unless got == expected
end

# Runs the block in a request of its own, and returns the request's context.
def request
  if WITH_SDK
    OpenTelemetry.tracer_provider.tracer('test').in_span('request') do |span|
      yield
      "00-#{span.context.hex_trace_id}-#{span.context.hex_span_id}-01"
    end
  else
    Thread.current[:traceparent] = "00-#{SecureRandom.hex(16)}-#{SecureRandom.hex(8)}-01"
    begin
      yield
      Thread.current[:traceparent]
    ensure
      Thread.current[:traceparent] = nil
    end
  end
end

# The contexts of the rows since the last call.
def recorded
  Job.connection.select_values(
    'WITH gone AS (DELETE FROM jobs RETURNING id, trace_context) ' \
    'SELECT trace_context::text FROM gone ORDER BY id'
  )
end

def client_spans
  spans = EXPORTER.finished_spans.select { |span| span.kind == :client }
  EXPORTER.reset
  spans.map { |span| "00-#{span.hex_trace_id}-#{span.hex_span_id}-01" }
end

# Each row is of the request that the block runs in; with client_span, of a span of its statement.
def each_row_is_of_its_request(name, rows: 1, client_span: false, &work)
  client_spans if client_span
  context = request(&work)
  contexts = recorded
  if client_span
    is([contexts.size, contexts - client_spans, contexts.map { |c| c[3, 32] }.uniq],
       [rows, [], [context[3, 32]]], "#{name}: each row is a client span of its request's")
  else
    is(contexts, [context] * rows, "#{name}: each row has its request's context")
  end
end

def every_way_to_insert(how, **options)
  (1..6).each do |i|
    each_row_is_of_its_request("#{how}: create, request #{i}", **options) do
      Job.create!(payload: 'x')
    end
  end
  each_row_is_of_its_request("#{how}: a transaction", rows: 3, **options) do
    Job.transaction { 3.times { Job.create!(payload: 'x') } }
  end
  each_row_is_of_its_request("#{how}: insert_all", rows: 300, **options) do
    Job.insert_all([{ payload: 'x' }] * 300)
  end
end

def connect(**options)
  ActiveRecord::Base.establish_connection(
    adapter: 'postgresql', min_messages: 'warning', **options
  )
end

def schema
  io = StringIO.new
  base = ActiveRecord::Base
  source = ActiveRecord.gem_version < Gem::Version.new('7.2') ? base.connection : base.connection_pool
  ActiveRecord::SchemaDumper.dump(source, io)
  io.string
end

def test_migration
  ActiveRecord::Schema.define { create_table(:jobs) { |t| t.text :payload, null: false } }
  Job.connection.execute("INSERT INTO jobs (payload) VALUES ('old')")
  request { AddTraceContextToJobs.new.change }
  is(recorded, [nil], 'rows that are there when the migration runs get NULL')
  Job.reset_column_information
end

def test_schema
  Job.connection.execute('CREATE TABLE typed (id bigserial PRIMARY KEY, ' \
                         'trace_context otel.trace_context)')
  dumped = schema
  is([dumped.include?('create_table "typed"'), dumped[/^#.*otel.trace_context.*/]],
     [false, "#   Unknown type 'otel.trace_context' for column 'trace_context'"],
     'schema.rb leaves out a table with the type, and says so')
  load_schema(dumped)
end

# As bin/rails db:schema:load does it, into a database that has nothing yet.
def load_schema(dumped)
  loaded = "#{ENV['PGDATABASE']}_loaded"
  Job.connection.execute("DROP DATABASE IF EXISTS #{loaded}")
  Job.connection.execute("CREATE DATABASE #{loaded}")
  connect(database: loaded)
  eval(dumped) # rubocop:disable Security/Eval
  is(schema.lines.grep(/"trace_context|"otel/), dumped.lines.grep(/"trace_context|"otel/),
     'schema.rb is loaded, the extension with it, and dumped as it was')
  Job.reset_column_information
  each_row_is_of_its_request('Traced.transaction in what schema.rb made') do
    Traced.transaction { Job.create!(payload: 'x') }
  end
ensure
  connect
  Job.connection.execute("DROP DATABASE IF EXISTS #{loaded}")
end

def test_transaction
  every_way_to_insert_in_traced_transaction
  Job.create!(payload: 'x')
  is(recorded, [nil], 'nothing of a transaction is left on its connection')
  contexts = Array.new(20) do |i|
    Thread.new do
      request { Traced.transaction { Job.create!(payload: i.to_s) } }
    ensure
      ActiveRecord::Base.connection_handler.clear_active_connections!
    end
  end.map(&:value)
  rows = Job.connection.select_rows('SELECT payload, trace_context FROM jobs')
  is([rows.size, rows.reject { |payload, context| context == contexts[payload.to_i] }], [20, []],
     '20 requests at once: none has another\'s context')
  recorded
end

def every_way_to_insert_in_traced_transaction
  3.times do |i|
    each_row_is_of_its_request("Traced.transaction, request #{i + 1}", rows: 302) do
      Traced.transaction do
        2.times { Job.create!(payload: 'x') }
        Job.insert_all([{ payload: 'x' }] * 300)
      end
    end
  end
  each_row_is_of_its_request('Traced.transaction, COPY', rows: 2) do
    Traced.transaction do
      raw = Job.connection.raw_connection
      raw.copy_data('COPY jobs (payload) FROM STDIN') { 2.times { raw.put_copy_data("x\n") } }
    end
  end
end

# The callback that people would write: rows of a thread's later requests have the first's context.
def test_wrong_hook
  adapter = ActiveRecord::ConnectionAdapters::AbstractAdapter
  adapter.set_callback(:checkout, :after) do |connection|
    carrier = {}
    OpenTelemetry.propagation.inject(carrier)
    connection.exec_query('SELECT otel.set_trace_context($1, NULL, false)', 'otel_links',
                          [carrier['traceparent']])
  end
  connect
  Thread.new do
    first = request { Job.connection && Job.create!(payload: 'x') }
    request { Job.create!(payload: 'x') }
    is(recorded, [first, first],
       'with a checkout callback, rows of a thread\'s second request have the first\'s context')
  end.join
  adapter.reset_callbacks(:checkout)
  connect
end

def test_instrumentation
  load File.expand_path('opentelemetry.rb')
  OpenTelemetry.tracer_provider.add_span_processor(
    OpenTelemetry::SDK::Trace::Export::SimpleSpanProcessor.new(EXPORTER)
  )
  every_way_to_insert('instrumentation of pg', client_span: true)
  [true, false].each do |prepared|
    connect(prepared_statements: prepared)
    each_row_is_of_its_request("prepared_statements: #{prepared}", client_span: true) do
      Job.create!(payload: 'x')
    end
  end
end

# Last, since it changes how every statement is sent from here on.
def test_query_logs
  application = Class.new(Rails::Application) do
    config.eager_load = false
    config.logger = Logger.new(nil)
    config.secret_key_base = 'x' * 64
    config.root = Dir.pwd
    class_eval(File.read('query_logs.rb'))
  end
  Object.const_set(:Application, application)
  ENV['DATABASE_URL'] = "postgresql:///#{ENV['PGDATABASE']}"
  application.initialize!
  connect
  every_way_to_insert('query log tags')
end

OpenTelemetry::SDK.configure if WITH_SDK
connect
test_migration
test_schema
test_transaction
test_wrong_hook
test_query_logs if ActiveRecord.gem_version >= Gem::Version.new('7.1') && !WITH_SDK
if WITH_SDK
  EXPORTER = OpenTelemetry::SDK::Trace::Export::InMemorySpanExporter.new
  test_instrumentation
end
