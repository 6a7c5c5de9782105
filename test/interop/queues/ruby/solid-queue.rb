# Solid Queue: the JSON text of its jobs.  Prints TAP lines.
require_relative 'harness'
require 'rails'
require 'active_record/railtie'
require 'active_job/railtie'
require 'action_controller/railtie'
require 'solid_queue'

rails_application(:solid_queue)

class Report < ActiveJob::Base
  cattr_accessor :seen
  retry_on ArgumentError, wait: 0, attempts: 2

  def perform(problem = nil, _text = '')
    raise problem.constantize, 'as the test wants it' if problem && executions == 1
  end

  def deserialize(job_data)
    super
    self.class.seen = job_data['traceparent']
  end
end

def stored(job)
  values('SELECT otel.traceparent(otel.extract(arguments)) FROM solid_queue_jobs ' \
         "WHERE active_job_id = '#{job.job_id}' ORDER BY id")
end

# What a worker does: it claims jobs and performs them.
def work
  10.times do
    SolidQueue::ScheduledExecution.dispatch_next_batch(50)
    claimed = SolidQueue::ReadyExecution.claim('*', 10, WORKER.id)
    break if claimed.empty?

    claimed.each do |execution|
      execution.perform
    rescue RuntimeError
      # as the test wants it
    end
  end
end

load File.join(library('solid_queue'), 'lib/generators/solid_queue/install/templates/db/queue_schema.rb')
WORKER = SolidQueue::Process.register(kind: 'Worker', pid: Process.pid, hostname: 'h', name: 'w')
before = shape('solid_queue_jobs')
6.times { Report.perform_later }
work
run_documented('capture')

6.times do |i|
  context, job = request { Report.perform_later }
  is(stored(job), [context], "perform_later by a process that runs since before, #{i + 1}")
end
context, job = request { Report.perform_later }
work
is([Report.seen, SolidQueue::Job.find_by(active_job_id: job.job_id).finished_at.nil?],
   [context, false], 'a worker that runs since before does the jobs, and sees it in job_data')
context, jobs = request do
  Array.new(2) { Report.new }.tap { |made| ActiveJob.perform_all_later(made) }
end
is(jobs.flat_map { |made| stored(made) }, [context] * 2, 'perform_all_later')
work

context, job = request { Report.perform_later('RuntimeError') }
work
SolidQueue::FailedExecution.last.retry
work
is([stored(job), Report.seen], [[context], context],
   'a job that failed and is retried by hand keeps it')
context, job = request { Report.perform_later('ArgumentError') }
worker, = request { work }
is(stored(job), [context, worker],
   'retry_on makes a new job in the worker, which has the worker\'s context')

context, = request do
  execute('INSERT INTO solid_queue_jobs (queue_name, class_name, arguments, created_at, ' \
          "updated_at) VALUES ('by SQL', 'Report', '{\"arguments\":[]}', now(), now())")
end
is(values("SELECT otel.traceparent(otel.extract(arguments)) FROM solid_queue_jobs " \
          "WHERE queue_name = 'by SQL'"), [context], 'a job that SQL inserts')
context, job = request { Report.perform_later(nil, 'x' * 10_000_000) }
is(stored(job), [context], 'a payload of ten megabytes')
work
is(SolidQueue::Job.find_by(active_job_id: job.job_id).finished_at.nil?, false, 'which is done')

test_batch { Report.set(queue: 'items').perform_later }
execute("SELECT otel.remove_capture('solid_queue_jobs', 'arguments')")
_, job = request { Report.perform_later }
is(stored(job), [nil], 'after remove_capture nothing is recorded')
is(shape('solid_queue_jobs'), before, 'and the table is as it was')
