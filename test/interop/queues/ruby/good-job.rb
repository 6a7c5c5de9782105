# GoodJob: a column of its table, with the default and the trigger.  Prints TAP lines.
require_relative 'harness'
require 'rails'
require 'active_record/railtie'
require 'active_job/railtie'
require 'action_controller/railtie'
require 'good_job'

rails_application(:good_job) { |config| config.good_job.execution_mode = :external }

class Report < ActiveJob::Base
  retry_on StandardError, wait: 0, attempts: 2

  def perform(fails, _text = '')
    raise 'as the test wants it' if fails
  end
end

def stored(job)
  values("SELECT otel_context::text FROM good_jobs WHERE active_job_id = '#{job.job_id}'")
end

def work
  GoodJob.perform_inline
rescue RuntimeError
  # as the test wants it
end

first, *later = Dir[File.join(library('good_job'),
                              'lib/generators/good_job/templates/update/migrations/*.erb')].sort
migrate(first)
run_documented('capture')
later.each { |template| migrate(template) }
context, job = request { Report.perform_later(false) }
is(stored(job), [context], "perform_later, after #{later.size} migrations of the library's")
execute("SELECT otel.remove_capture('good_jobs', 'otel_context')")
execute('ALTER TABLE good_jobs DROP COLUMN otel_context')

restart(GoodJob::Job)
before = shape('good_jobs')
6.times { Report.perform_later(false) }
work
run_documented('capture')

context, job = request { Report.perform_later(false) }
is(stored(job), [context], 'perform_later by a process that runs since before the column')
context, job = request { Report.perform_later(true) }
2.times { work }
is([stored(job), GoodJob::Job.find_by(active_job_id: job.job_id).error.nil?], [[context], false],
   'a worker that runs since then goes on; a job that failed for good keeps it')

restart(GoodJob::Job)
context, job = request { Report.perform_later(false) }
is(stored(job), [context], 'perform_later by a process that knows the column')
context, jobs = request do
  GoodJob::Bulk.enqueue { 2.times { Report.perform_later(false) } }
  values('SELECT otel_context::text FROM good_jobs ORDER BY created_at DESC LIMIT 2')
end
is(jobs, [context] * 2, 'GoodJob::Bulk.enqueue, which names every column')
context, id = request do
  values('INSERT INTO good_jobs (active_job_id, queue_name, job_class, serialized_params, ' \
         'priority, scheduled_at, created_at, updated_at) SELECT gen_random_uuid(), queue_name, ' \
         'job_class, serialized_params, priority, now(), now(), now() FROM good_jobs LIMIT 1 ' \
         'RETURNING id').first
end
is(values("SELECT otel_context::text FROM good_jobs WHERE id = '#{id}'"), [context],
   'a job that SQL inserts')
context, job = request { Report.perform_later(false, 'x' * 10_000_000) }
is(stored(job), [context], 'a payload of ten megabytes')
work
is(GoodJob::Job.where(finished_at: nil).count, 0, 'a worker that knows the column does the jobs')

test_batch { Report.set(queue: 'items').perform_later(false) }
execute("SELECT otel.remove_capture('good_jobs', 'otel_context')")
_, job = request { Report.perform_later(false) }
is(stored(job), [nil], 'after remove_capture nothing is recorded')
execute('ALTER TABLE good_jobs DROP COLUMN otel_context')
is(shape('good_jobs'), before, 'and without the column the table is as it was')
