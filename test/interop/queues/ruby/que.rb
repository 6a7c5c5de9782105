# Que: the jsonb column of a job's data.  Prints TAP lines.
require_relative 'harness'
require 'que'

class Report < Que::Job
  class << self
    attr_accessor :seen
  end
  self.maximum_retry_count = 1
  self.retry_interval = 0

  def run(fails = 0, _text = '')
    Report.seen = que_attrs[:data][:traceparent]
    raise 'as the test wants it' if error_count < fails
  end
end

def stored(job)
  values("SELECT otel.traceparent(otel.extract(data)) FROM que_jobs WHERE id = #{job.que_attrs[:id]}")
end

def until_empty
  300.times do
    return true if values('SELECT id FROM que_jobs WHERE finished_at IS NULL').empty?

    sleep 0.1
  end
  false
end

connect
Que.connection = ActiveRecord
Que.logger = Logger.new(nil)
Que.migrate!(version: 5)
run_documented('capture')
Que.migrate!(version: Que::Migrations::CURRENT_VERSION)
context, job = request { Report.enqueue }
is(stored(job), [context], 'enqueue, after the library\'s migrations over the trigger')
execute("SELECT otel.remove_capture('que_jobs', 'data')")
before = shape('que_jobs')
locker = Que::Locker.new(poll_interval: 0.1, worker_priorities: [nil, nil])
6.times { Report.enqueue }
until_empty
run_documented('capture')

context, = request { Report.enqueue }
is([until_empty, Report.seen], [true, context],
   'a locker that runs since before the trigger does the job, and the job sees it')
context, = request { Report.enqueue(1) }
is([until_empty, Report.seen], [true, context], 'a retry has it')
context, job = request { Report.enqueue(2) }
300.times do
  break if values('SELECT id FROM que_jobs WHERE expired_at IS NOT NULL').any?

  sleep 0.1
end
is([stored(job), Report.seen], [[context], context], 'a job that failed for good keeps it')
locker.stop!

context, job = request { Report.enqueue(job_options: { tags: ['a'] }) }
is(stored(job), [context], 'enqueue with tags')
context, jobs = request { Que.bulk_enqueue { 2.times { Report.enqueue } } }
is(jobs.flat_map { |made| stored(made) }, [context] * 2, 'bulk_enqueue')
context, id = request do
  values("INSERT INTO que_jobs (job_class, job_schema_version) VALUES ('Report', 2) " \
         'RETURNING id').first
end
is(values("SELECT otel.traceparent(otel.extract(data)) FROM que_jobs WHERE id = #{id}"),
   [context], 'a job that SQL inserts')
context, job = request { Report.enqueue(0, 'x' * 10_000_000) }
is(stored(job), [context], 'a payload of ten megabytes')
execute('DELETE FROM que_jobs')

test_batch { Report.enqueue(job_options: { queue: 'items' }) }
execute("SELECT otel.remove_capture('que_jobs', 'data')")
_, job = request { Report.enqueue }
is(stored(job), [nil], 'after remove_capture nothing is recorded')
is(shape('que_jobs'), before, 'and the table is as it was')
