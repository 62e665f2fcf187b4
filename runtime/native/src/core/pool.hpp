// Threads that share the work of one prediction. Several predictions may use one pool at the same time.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace regad {

class Pool {
public:
    // `threads` counts the caller's own: threads - 1 are started.
    explicit Pool(std::size_t threads);
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;
    ~Pool();

    std::size_t threads() const noexcept { return workers_.size() + 1; }

    // Calls task(index, slot) for every index below `count` and returns when all are done. `slot` is below
    // threads() and never the same in two calls at one time. The task must not throw. Allocates nothing.
    template <typename Task>
    void run(std::size_t count, const Task &task) {
        Job job;
        job.count = count;
        job.context = &task;
        job.call = [](const void *context, std::size_t index, std::size_t slot) {
            (*static_cast<const Task *>(context))(index, slot);
        };
        run_job(job);
    }

private:
    struct Job {
        std::size_t count = 0;
        const void *context = nullptr;
        void (*call)(const void *context, std::size_t index, std::size_t slot) = nullptr;
        std::atomic<std::size_t> next{0};
        std::size_t helpers = 0;  // workers inside it; guarded by mutex_
        Job *following = nullptr;
    };

    static void work(Job &job, std::size_t slot);
    void run_job(Job &job);
    void worker(std::size_t slot);
    void shut_down() noexcept;
    Job *find_work() const;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    Job *jobs_ = nullptr;
    bool stop_ = false;
    std::vector<std::thread> workers_;
};

constexpr std::size_t row_chunk = 16;  // rows that a thread takes at a time

// Calls row(y, slot) for every y below `rows`; `slot` as in Pool::run.
template <typename Row>
void over_rows(std::size_t rows, Pool &pool, const Row &row) {
    pool.run((rows + row_chunk - 1) / row_chunk, [&](std::size_t index, std::size_t slot) {
        const std::size_t end = std::min((index + 1) * row_chunk, rows);
        for (std::size_t y = index * row_chunk; y < end; ++y) {
            row(y, slot);
        }
    });
}

// Cores that this process may use.
std::size_t usable_cores() noexcept;

}  // namespace regad
