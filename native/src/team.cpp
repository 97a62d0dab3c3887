#include "team.h"

#include <pthread.h>
#include <sched.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace recell {

namespace {

std::atomic<bool> forked{false};  // in a forked child both libgomp's team and the own pool's threads are gone

inline void pause_processor() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

struct Gomp {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned);
    int (*thread_num)();
    int (*num_threads)();
};
std::atomic<const Gomp*> gomp{nullptr};

struct Job {
    TeamFunction function;
    void* data;
    const Gomp* gomp = nullptr;
};

// Between regions the own pool's threads wait in a bounded spin, then sleep; one region at a time.
class OwnPool {
  public:
    bool run(int threads, Job job) {
        std::unique_lock region(region_, std::try_to_lock);
        if (!region.owns_lock()) return false;
        const int count = grow(threads);
        {
            std::lock_guard lock(mutex_);
            job_ = job;
            count_ = count;
            pending_ = count - 1;
            ++generation_;
            if (sleepers_) wake_.notify_all();
        }
        job.function(job.data, 0, count);
        if (spin([this] { return pending_ == 0; })) return true;
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return pending_ == 0; });
        return true;
    }

  private:
    // Waking a sleeping thread takes longer than a small step: worth about 50 us of spinning.
    template <class F> static bool spin(F ready) {
        for (int i = 0; i < 4096; ++i) {
            if (ready()) return true;
            pause_processor();
        }
        return false;
    }

    // How many threads there are, the caller among them; fewer than asked for when the system gives no more.
    int grow(int threads) {
        while (size_ + 1 < threads) {
            try {
                std::thread(&OwnPool::work, this, size_ + 1, generation_.load()).detach();
            } catch (const std::system_error&) {
                break;
            }
            ++size_;
        }
        return threads < size_ + 1 ? threads : size_ + 1;
    }

    void work(int id, unsigned long seen) {
        for (;;) {
            spin([&] { return generation_ != seen; });
            std::unique_lock lock(mutex_);
            ++sleepers_;
            wake_.wait(lock, [&] { return generation_ != seen; });
            --sleepers_;
            seen = generation_;
            if (id >= count_) continue;
            const Job job = job_;
            const int count = count_;
            lock.unlock();
            job.function(job.data, id, count);
            if (--pending_ == 0) {
                lock.lock();  // the caller is either still spinning or already waits: it cannot miss this
                done_.notify_one();
            }
        }
    }

    std::mutex region_, mutex_;
    std::condition_variable wake_, done_;
    Job job_{};
    int size_ = 0, count_ = 0, sleepers_ = 0;
    std::atomic<int> pending_{0};
    std::atomic<unsigned long> generation_{0};
};

OwnPool& own_pool() {
    static OwnPool* pool = new OwnPool;  // never destroyed: its threads sleep until the process ends
    return *pool;
}

// Registered when the library is loaded: the first run may already be a child's.
[[maybe_unused]] const int watching_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

void gomp_entry(void* data) {
    const Job& job = *static_cast<const Job*>(data);
    job.function(job.data, job.gomp->thread_num(), job.gomp->num_threads());
}

}  // namespace

void set_team(void* parallel, void* thread_num, void* num_threads) {
    if (!parallel || !thread_num || !num_threads) {
        gomp = nullptr;
        return;
    }
    gomp = new Gomp{reinterpret_cast<decltype(Gomp::parallel)>(parallel), reinterpret_cast<decltype(Gomp::thread_num)>(thread_num),
                    reinterpret_cast<decltype(Gomp::num_threads)>(num_threads)};  // a region may still read the former one: it stays
}

void run_team(int threads, TeamFunction function, void* data) {
    Job job{function, data, gomp.load(std::memory_order_acquire)};
    if (threads > 1 && !forked) {
        if (job.gomp) return job.gomp->parallel(gomp_entry, &job, unsigned(threads), 0);
        if (own_pool().run(threads, job)) return;
    }
    function(data, 0, 1);
}

void Barrier::wait(int count) {
    if (count == 1) return;
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
        if (spins < 4096)
            pause_processor();
        else
            sched_yield();
    }
}

}  // namespace recell
