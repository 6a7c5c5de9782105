# Que: the jsonb column of a job's data.  Prints TAP lines.
require_relative 'harness'
require 'que'

class Report < Que::Job
  class << self
    attr_accessor :seen
  end
  self.maximum_retry_count = 1
  self.retry_interval = 0

  def run(fails = false)
    Report.seen = que_attrs[:data][:traceparent]
    raise 'as the test wants it' if fails && error_count.zero?
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

new_database
Que.connection = ActiveRecord
Que.logger = Logger.new(nil)
Que.migrate!(version: Que::Migrations::CURRENT_VERSION)
locker = Que::Locker.new(poll_interval: 0.1, worker_priorities: [nil, nil])
6.times { Report.enqueue }
until_empty
run_documented('capture')

context, = request { Report.enqueue }
is([until_empty, Report.seen], [true, context],
   'a locker that runs since before the trigger does the job, and the job sees it')
context, = request { Report.enqueue(true) }
is([until_empty, Report.seen], [true, context], 'a retry has it')
locker.stop!

context, job = request { Report.enqueue(job_options: { tags: ['a'] }) }
is(stored(job), [context], 'enqueue with tags')
context, jobs = request { Que.bulk_enqueue { 2.times { Report.enqueue } } }
is(jobs.flat_map { |made| stored(made) }, [context] * 2, 'bulk_enqueue')
execute('DELETE FROM que_jobs')

contexts = Array.new(5) { request { Report.enqueue(job_options: { queue: 'items' }) } }
is(linked_traces, contexts.map { |context, _| context[3, 32] }.sort,
   'the batch span is linked to each request')
execute("SELECT otel.remove_capture('que_jobs', 'data')")
_, job = request { Report.enqueue }
is(stored(job), [nil], 'after remove_capture nothing is recorded')
