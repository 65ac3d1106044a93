// A few threads that share each small piece of work. They spin for a moment between pieces, because pieces are
// microseconds apart, and sleep when none comes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

class Pool {
   public:
    explicit Pool(int threads) {
        for (int part = 1; part < threads; ++part) workers_.emplace_back([this, part] { work(part); });
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            closing_ = true;
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Afterwards task(0) ... task(threads - 1) have all run, task(0) on the caller's thread.
    void run(const std::function<void(int)>& task) {
        task_ = &task;
        left_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
        round_.fetch_add(1);  // in order with the look at sleepers: one of the two sides sees the other
        if (sleeping_.load() > 0) {
            std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_all();
        }
        task(0);
        while (left_.load(std::memory_order_acquire) > 0) __builtin_ia32_pause();
    }

   private:
    static constexpr int kSpins = 2000;  // some 40 microseconds

    void work(int part) {
        unsigned seen = 0;
        for (;;) {
            for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == seen; ++spin)
                __builtin_ia32_pause();
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                sleeping_.fetch_add(1);
                wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
                sleeping_.fetch_sub(1);
            }
            seen = round_.load(std::memory_order_acquire);
            if (closing_) return;
            (*task_)(part);
            left_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::vector<std::thread> workers_;
    const std::function<void(int)>* task_ = nullptr;
    std::atomic<unsigned> round_{0};
    std::atomic<int> left_{0}, sleeping_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool closing_ = false;
};
