// Threads: torch's OpenMP team when it was handed over, else an own pool. torch's worker spins for milliseconds after each
// parallel region and would fight a second pool; through the same GOMP_parallel it does not.
#pragma once
#include <atomic>

namespace recell {

// Called by every real thread of the team with its number and how many there are: possibly fewer than asked for.
using TeamFunction = void (*)(void* data, int id, int count);

// Returns when all are done. After a fork, nested in another region, or with the own pool busy: one thread runs it alone.
void run_team(int threads, TeamFunction function, void* data);
void set_team(void* gomp_parallel, void* get_thread_num, void* get_num_threads);

// All real threads of one region meet. Spins for a bounded time, then yields: the team may have more threads than there are
// cores.
class Barrier {
  public:
    void wait(int count);

  private:
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<int> round_{0};
};

}  // namespace recell
