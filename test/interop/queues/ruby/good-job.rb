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

  def perform(fails)
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

template = Dir[File.join(Gem.loaded_specs['good_job']&.full_gem_path ||
                         File.expand_path('../..', $LOADED_FEATURES.grep(%r{/good_job\.rb$})[0]),
                         'lib/generators/good_job/templates/install/migrations/*.erb')].first
eval(File.read(template).gsub('<%= migration_version %>', '[7.0]'))
CreateGoodJobs.new.change
6.times { Report.perform_later(false) }
work
run_documented('capture')

context, job = request { Report.perform_later(false) }
is(stored(job), [context], 'perform_later by a process that runs since before the column')
context, job = request { Report.perform_later(true) }
2.times { work }
is(stored(job), [context], 'a worker that runs since then goes on; a retry keeps it')

restart(GoodJob::Job)
context, job = request { Report.perform_later(false) }
is(stored(job), [context], 'perform_later by a process that knows the column')
context, jobs = request do
  GoodJob::Bulk.enqueue { 2.times { Report.perform_later(false) } }
  values('SELECT otel_context::text FROM good_jobs ORDER BY created_at DESC LIMIT 2')
end
is(jobs, [context] * 2, 'GoodJob::Bulk.enqueue, which names every column')
work
is(GoodJob::Job.where(finished_at: nil).count, 0, 'a worker that knows the column does the jobs')

contexts = Array.new(5) { request { Report.set(queue: 'items').perform_later(false) } }
is(linked_traces, contexts.map { |context, _| context[3, 32] }.sort,
   'the batch span is linked to each request')
execute("SELECT otel.remove_capture('good_jobs', 'otel_context')")
_, job = request { Report.perform_later(false) }
is(stored(job), [nil], 'after remove_capture nothing is recorded')
