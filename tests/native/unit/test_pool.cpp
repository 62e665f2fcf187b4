#include "core/pool.hpp"

#include <numeric>

#include "check.hpp"

TEST(pool_runs_every_index_once) {
    for (const std::size_t threads : {1U, 2U, 5U}) {
        regad::Pool pool(threads);
        for (std::size_t count = 0; count < 40; ++count) {
            std::vector<std::atomic<int>> seen(count);
            std::vector<std::atomic<int>> inside(threads);
            std::atomic<bool> shared{false};
            pool.run(count, [&](std::size_t index, std::size_t slot) {
                if (inside[slot].fetch_add(1) != 0) {
                    shared = true;
                }
                seen[index].fetch_add(1);
                inside[slot].fetch_sub(1);
            });
            CHECK(!shared);
            for (const std::atomic<int> &times : seen) {
                CHECK_EQUAL(times.load(), 1);
            }
        }
    }
}

TEST(pool_runs_every_row_once) {
    regad::Pool pool(3);
    for (const std::size_t rows : {0U, 1U, 15U, 16U, 17U, 40U, 224U}) {
        std::vector<std::atomic<int>> seen(rows);
        regad::over_rows(rows, pool, [&](std::size_t y, std::size_t slot) {
            if (slot < pool.threads()) {
                seen[y].fetch_add(1);
            }
        });
        for (const std::atomic<int> &times : seen) {
            CHECK_EQUAL(times.load(), 1);
        }
    }
}

TEST(pool_is_shared_by_several_callers) {
    regad::Pool pool(3);
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int caller = 0; caller < 6; ++caller) {
        callers.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                std::vector<std::size_t> squares(25);
                pool.run(squares.size(), [&](std::size_t index, std::size_t) { squares[index] = index * index; });
                if (std::accumulate(squares.begin(), squares.end(), std::size_t{0}) != 4900) {
                    ++wrong;
                }
            }
        });
    }
    for (std::thread &caller : callers) {
        caller.join();
    }
    CHECK_EQUAL(wrong.load(), 0);
}
