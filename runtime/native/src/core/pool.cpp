#include "core/pool.hpp"

#include <sched.h>

namespace regad {

Pool::Pool(std::size_t threads) {
    try {
        for (std::size_t slot = 1; slot < threads; ++slot) {
            workers_.emplace_back(&Pool::worker, this, slot);
        }
    } catch (...) {
        shut_down();
        throw;
    }
}

Pool::~Pool() { shut_down(); }

void Pool::shut_down() noexcept {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : workers_) {
        thread.join();
    }
    workers_.clear();
}

void Pool::work(Job &job, std::size_t slot) {
    for (std::size_t index = job.next.fetch_add(1); index < job.count; index = job.next.fetch_add(1)) {
        job.call(job.context, index, slot);
    }
}

void Pool::run_job(Job &job) {
    if (workers_.empty() || job.count < 2) {
        work(job, 0);
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        job.following = jobs_;
        jobs_ = &job;
    }
    wake_.notify_all();
    work(job, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    Job **link = &jobs_;
    while (*link != &job) {
        link = &(*link)->following;
    }
    *link = job.following;  // no worker can enter it any more
    done_.wait(lock, [&job] { return job.helpers == 0; });
}

Pool::Job *Pool::find_work() const {
    for (Job *job = jobs_; job != nullptr; job = job->following) {
        if (job->next.load() < job->count) {
            return job;
        }
    }
    return nullptr;
}

void Pool::worker(std::size_t slot) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        Job *job = nullptr;
        wake_.wait(lock, [this, &job] {
            job = find_work();
            return stop_ || job != nullptr;
        });
        if (job == nullptr) {
            return;
        }
        ++job->helpers;
        lock.unlock();
        work(*job, slot);
        lock.lock();
        if (--job->helpers == 0) {
            done_.notify_all();
        }
    }
}

std::size_t usable_cores() noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        const int count = CPU_COUNT(&set);
        return count > 0 ? static_cast<std::size_t>(count) : 1;
    }
    const unsigned count = std::thread::hardware_concurrency();
    return count > 0 ? count : 1;
}

}  // namespace regad
