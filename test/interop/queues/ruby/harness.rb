# What the tests of Ruby's queues share: a database, requests, and a look at the rows.
#
# OpenTelemetry's gems cannot be had from Debian, so a request is a context that is set in a
# transaction, as docs/stacks.md shows for Rails.
require 'logger'
require 'securerandom'
require 'tmpdir'
require 'active_record'

$stdout.sync = true
QUEUE = File.basename($PROGRAM_NAME, '.rb')
DATABASE = "queue_#{QUEUE.tr('-', '_')}".freeze

def is(got, expected, name)
  puts "#{got == expected ? 'ok' : 'not ok'} - #{QUEUE}: #{name}"
  puts "# got #{got.inspect}, expected #{expected.inspect}" unless got == expected
end

def connect(database)
  ActiveRecord::Base.establish_connection(
    adapter: 'postgresql', database: database, min_messages: 'warning'
  )
end

def new_database
  ActiveRecord::Base.logger = Logger.new(nil)
  ActiveRecord::Migration.verbose = false
  connect('postgres')
  execute("DROP DATABASE IF EXISTS #{DATABASE} WITH (FORCE)")
  execute("CREATE DATABASE #{DATABASE}")
  connect(DATABASE)
  execute('CREATE EXTENSION otel_links')
  execute("ALTER DATABASE #{DATABASE} SET otel.traces_exporter = none")
  connect(DATABASE)
end

# The smallest Rails application whose jobs the adapter takes.
def rails_application(adapter)
  new_database
  ENV['DATABASE_URL'] = "postgresql:///#{DATABASE}"
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

# Runs the block in a request; returns the request's traceparent and what the block returned.
def request
  traceparent = "00-#{SecureRandom.hex(16)}-#{SecureRandom.hex(8)}-01"
  result = ActiveRecord::Base.transaction do
    execute("SELECT otel.set_trace_context('#{traceparent}')::text")
    yield
  end
  [traceparent, result]
end

# The trace ids of the links of the batch span that the documentation starts.
def linked_traces
  ActiveRecord::Base.transaction do
    run_documented('batch')
    execute('SELECT otel.end_span()::text')
  end
  values('SELECT trace_id FROM otel.span_queue, otel.span_links(links) ORDER BY trace_id')
end
