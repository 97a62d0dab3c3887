// The workspace pool: blocks are reused, because a fresh 39 MB buffer costs 14-16 ms of page faults and a reused one 0.9.
#pragma once
#include <cstddef>
#include <cstdint>

namespace recell {

void* pool_allocate(int64_t bytes);  // 64-byte aligned; throws std::bad_alloc
void pool_release(void*) noexcept;   // null is fine
void pool_trim() noexcept;
int64_t pool_bytes() noexcept;

// A block for the length of a scope.
class PoolBlock {
  public:
    explicit PoolBlock(int64_t bytes) : data_(bytes > 0 ? pool_allocate(bytes) : nullptr) {}
    ~PoolBlock() { pool_release(data_); }
    PoolBlock(const PoolBlock&) = delete;
    PoolBlock& operator=(const PoolBlock&) = delete;
    char* data() const { return static_cast<char*>(data_); }

  private:
    void* data_;
};

}  // namespace recell
