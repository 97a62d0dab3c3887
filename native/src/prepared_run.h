// A run with all that its program and call decide already decided: how it is split, where its scratch and packs lie.
#pragma once
#include <optional>

#include "memory_pool.h"
#include "worker.h"

namespace recell {

// Refers to the program, the buffers and the call; they outlive it. `go` may be called any number of times, by one thread at a time.
template <class T> class PreparedRun {
  public:
    PreparedRun(const Program&, void* const* buffers, const rc_call&);
    void go();
    // One real thread's part of the work, `count` of them at the same time: at most `parts`, or 1.
    void work(int id, int count);
    int parts() const { return run_.parts; }

  private:
    Run<T> run_;
    std::optional<PoolBlock> block_;
};

// Freezes the program; throws Error where buffers or call do not fit it.
void check_run(Program&, void* const* buffers, const rc_call&);

}  // namespace recell
