# Delayed Job: a column of its table.  Prints TAP lines.
require_relative 'harness'
require 'delayed_job'
require 'delayed_job_active_record'

Delayed::Worker.logger = Logger.new(nil)
Delayed::Worker.destroy_failed_jobs = false
Delayed::Worker.max_attempts = 2
Delayed::Worker.sleep_delay = 0

Report = Struct.new(:fails) do
  def perform
    raise 'as the test wants it' if fails
  end

  def reschedule_at(now, _attempts) = now
end

def stored(job)
  values("SELECT otel_context::text FROM delayed_jobs WHERE id = #{job.id}").first
end

def work = Delayed::Worker.new.work_off

new_database
ActiveRecord::Schema.define do
  create_table :delayed_jobs do |t|
    t.integer :priority, default: 0, null: false
    t.integer :attempts, default: 0, null: false
    t.text :handler, null: false
    t.text :last_error
    t.datetime :run_at
    t.datetime :locked_at
    t.datetime :failed_at
    t.string :locked_by
    t.string :queue
    t.timestamps null: true
  end
end
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
work
is(Delayed::Job.where(failed_at: nil).count, 0, 'a worker that knows the column does the jobs')

contexts = Array.new(5) { request { Delayed::Job.enqueue(Report.new(false), queue: 'items') } }
is(linked_traces, contexts.map { |context, _| context[3, 32] }.sort,
   'the batch span is linked to each request')
execute("SELECT otel.remove_capture('delayed_jobs', 'otel_context')")
_, job = request { Delayed::Job.enqueue(Report.new(false)) }
is(stored(job), nil, 'after remove_capture nothing is recorded')
