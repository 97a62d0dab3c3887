// Streams: programs bound to fixed buffers once, then run for one step after another with nothing left to prepare.
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "error.h"
#include "prepared_run.h"
#include "stream.h"

namespace recell {

namespace {

struct Link {
    virtual ~Link() = default;
    virtual void go() = 0;
};

template <class T> class ProgramLink final : public Link {
  public:
    ProgramLink(const Program& p, void* const* buffers, const rc_call& call)
        : buffers_(buffers, buffers + p.buffers), call_(call), run_(p, buffers_.data(), call_) {}
    void go() override { run_.go(); }

  private:
    std::vector<void*> buffers_;
    rc_call call_;
    PreparedRun<T> run_;
};

// Rows of a table by their numbers.
class TableLink final : public Link {
  public:
    TableLink(const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows, void* destination)
        : table_(static_cast<const char*>(table)), count_(count), row_bytes_(row_bytes), numbers_(numbers), rows_(rows),
          destination_(static_cast<char*>(destination)) {}

    void go() override {
        for (int64_t n = 0; n < rows_; ++n)
            if (numbers_[n] < 0 || numbers_[n] >= count_)
                fail("token numbers go from 0 to %lld; came %lld in stream %lld", (long long)count_ - 1, (long long)numbers_[n], (long long)n);
        for (int64_t n = 0; n < rows_; ++n)
            std::memcpy(destination_ + n * row_bytes_, table_ + numbers_[n] * row_bytes_, size_t(row_bytes_));
    }

  private:
    const char* table_;
    int64_t count_, row_bytes_;
    const int64_t* numbers_;
    int64_t rows_;
    char* destination_;
};

}  // namespace

struct Stream {
    std::vector<std::unique_ptr<Link>> links;
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

Stream* new_stream() { return new Stream; }
void free_stream(Stream* stream) { delete stream; }

void hold_stream(Stream& stream) {
    if (stream.busy.test_and_set(std::memory_order_acquire)) fail("this session is in use by another thread; give each thread its own");
}
void release_stream(Stream& stream) { stream.busy.clear(std::memory_order_release); }

void add_program(Stream& stream, Program& p, void* const* buffers, const rc_call& call) {
    if (!call.keep_packs) fail("a stream keeps its packs: fill them by rc_run with no step, then set keep_packs");
    if (call.steps != 1 || call.active || call.row_numbers) fail("a stream runs one step of all its rows at a time");
    const Hold hold(stream);
    check_run(p, buffers, call);
    if (p.dtype)
        stream.links.push_back(std::make_unique<ProgramLink<double>>(p, buffers, call));
    else
        stream.links.push_back(std::make_unique<ProgramLink<float>>(p, buffers, call));
}

void add_table(Stream& stream, const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows, void* destination) {
    if (!table || !numbers || !destination || count < 1 || row_bytes < 1 || rows < 1) fail("a table link needs a table, numbers and a destination");
    const Hold hold(stream);
    stream.links.push_back(std::make_unique<TableLink>(table, count, row_bytes, numbers, rows, destination));
}

void step_held(Stream& stream, int first) {
    if (first < 0 || size_t(first) > stream.links.size()) fail("the stream has %zu links; came %d", stream.links.size(), first);
    for (size_t i = size_t(first); i < stream.links.size(); ++i) stream.links[i]->go();
}

}  // namespace recell
