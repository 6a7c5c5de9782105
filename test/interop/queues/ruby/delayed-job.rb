# Delayed Job: a column of its table.  Prints TAP lines.
require_relative 'harness'
require 'delayed_job'
require 'delayed_job_active_record'

Delayed::Worker.logger = Logger.new(nil)
Delayed::Worker.destroy_failed_jobs = false
Delayed::Worker.max_attempts = 2
Delayed::Worker.sleep_delay = 0

Report = Struct.new(:fails, :text) do
  def perform
    raise 'as the test wants it' if fails
  end

  def reschedule_at(now, _attempts) = now
end

def stored(job)
  values("SELECT otel_context::text FROM delayed_jobs WHERE id = #{job.id}").first
end

def work = Delayed::Worker.new.work_off

connect
templates = File.join(library('delayed_job_active_record'),
                      'lib/generators/delayed_job/templates')
migrate(File.join(templates, 'migration.rb'))
# as it was before the library had queues
execute('ALTER TABLE delayed_jobs DROP COLUMN queue')
run_documented('capture')
migrate(File.join(templates, 'upgrade_migration.rb'))
context, job = request { Delayed::Job.enqueue(Report.new(false)) }
is(stored(job), context, 'enqueue, after the library\'s migration over the column')
execute("SELECT otel.remove_capture('delayed_jobs', 'otel_context')")
execute('ALTER TABLE delayed_jobs DROP COLUMN otel_context')

restart(Delayed::Job)
before = shape('delayed_jobs')
6.times { Delayed::Job.enqueue(Report.new(false)) }
work
run_documented('capture')
context, job = request { Delayed::Job.enqueue(Report.new(true)) }
is(stored(job), context, 'enqueue by a process that runs since before the column')
2.times { work }
is([stored(job), Delayed::Job.find(job.id).failed_at.nil?], [context, false],
   'a worker that runs since then goes on; a job that failed for good keeps it')

restart(Delayed::Job)
context, job = request { Delayed::Job.enqueue(Report.new(false)) }
is(stored(job), context, 'enqueue by a process that knows the column')
context, job = request { 'x'.delay.upcase }
is(stored(job), context, 'delay, which makes the job itself')
handler = Report.new(false).to_yaml
context, ids = request do
  rows = Array.new(2) { { handler: handler, run_at: Time.now, created_at: Time.now,
                          updated_at: Time.now } }
  Delayed::Job.insert_all(rows, returning: :id).rows.flatten
end
is(values("SELECT otel_context::text FROM delayed_jobs WHERE id IN (#{ids.join(',')})"),
   [context] * 2, 'insert_all of ActiveRecord, as Delayed Job has no bulk form')
context, = request do
  execute("INSERT INTO delayed_jobs (handler, run_at, queue) SELECT handler, now(), 'by SQL' " \
          "FROM delayed_jobs WHERE id = #{ids.first}")
end
is(values("SELECT otel_context::text FROM delayed_jobs WHERE queue = 'by SQL'"), [context],
   'a job that SQL inserts')
context, job = request { Delayed::Job.enqueue(Report.new(false, 'x' * 10_000_000)) }
is([stored(job), Delayed::Job.find(job.id).payload_object.text.size], [context, 10_000_000],
   'a payload of ten megabytes')
work
is(Delayed::Job.where(failed_at: nil).count, 0, 'a worker that knows the column does the jobs')

test_batch { Delayed::Job.enqueue(Report.new(false), queue: 'items') }
execute("SELECT otel.remove_capture('delayed_jobs', 'otel_context')")
_, job = request { Delayed::Job.enqueue(Report.new(false)) }
is(stored(job), nil, 'after remove_capture nothing is recorded')
execute('ALTER TABLE delayed_jobs DROP COLUMN otel_context')
is(shape('delayed_jobs'), before, 'and without the column the table is as it was')
