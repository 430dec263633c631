# Sidekiq itself, as the judge of lua/stdlib/sidekiq.lua. `ruby sidekiq.rb fill|counts`, or as the app of a process: sidekiq -r.
# A job that ends is a line "SIDE JID" in the file RUNS; one that is to wait does so while the file GATE is there.
require "json"
require "sidekiq"
require "sidekiq/api"

class Note
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 3600 }                                  # not while the test looks

  def perform(what)
    raise "not this time" if what == "fails"
    sleep 0.02 while what == "waits" && File.exist?(ENV["GATE"])
    sleep 0.02
    File.open(ENV["RUNS"], "a") { |file| file.write("#{ENV["SIDE"]} #{jid}\n") }
  end
end

Sidekiq.configure_server do |config|
  config.on(:startup) { puts "ready" }
  Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)         # a heartbeat in 5 seconds is long for a test
  Sidekiq::Launcher::BEAT_PAUSE = 0.1
end

case $PROGRAM_NAME == __FILE__ && ARGV[0]
when "fill"
  Note.set(queue: "mail").perform_async("waits")
  40.times { Note.perform_async("runs") }
  3.times { Note.set(queue: "mail").perform_async("runs") }
  2.times { Note.perform_in(3600, "runs") }
  Note.perform_async("fails")
when "counts"
  stats = Sidekiq::Stats.new
  puts JSON.generate(enqueued: stats.enqueued, queues: stats.queues, scheduled: stats.scheduled_size, retry: stats.retry_size,
    dead: stats.dead_size, busy: stats.workers_size, jids: Sidekiq::Queue.all.flat_map { |queue| queue.map(&:jid) } +
    [Sidekiq::ScheduledSet.new, Sidekiq::RetrySet.new].flat_map { |set| set.map(&:jid) })
end
