/* Licensed under the Apache License, Version 2.0 (the "License"); you may
 * not use this file except in compliance with the License. You may obtain
 * a copy of the License at
 *
 *      http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
 * WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
 * License for the specific language governing permissions and limitations
 * under the License.
 */

/*
 * dirty MIB RATE: write to every page of MIB mebibytes, over and over, at
 * RATE mebibytes a second (0: as fast as possible).  A short delay is made
 * up for, a stall of the guest is not.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
    PAGE = 4096,
    PAGES_PER_MIB = 256,
    ROUNDS_PER_SECOND = 50,
    STALL_MS = 200
};

static long long milliseconds(struct timespec time)
{
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    size_t pages = (argc > 1 ? atoi(argv[1]) : 0) * PAGES_PER_MIB;
    size_t rate = (argc > 2 ? atoi(argv[2]) : 0) * PAGES_PER_MIB;
    if (pages == 0)
        return 2;
    unsigned char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                                 -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    size_t round = rate ? rate / ROUNDS_PER_SECOND : pages;
    if (round == 0)
        round = 1;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    unsigned char value = 0;
    for (size_t page = 0;;) {
        for (size_t i = 0; i < round; i++) {
            memory[page * PAGE] = value;
            memory[page * PAGE + PAGE / 2] = value ^ (unsigned char)page;
            if (++page == pages) {
                page = 0;
                value++;
            }
        }
        if (rate) {
            next.tv_nsec += 1000000000 / ROUNDS_PER_SECOND;
            if (next.tv_nsec >= 1000000000) {
                next.tv_nsec -= 1000000000;
                next.tv_sec++;
            }
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            if (milliseconds(now) - milliseconds(next) > STALL_MS)
                next = now;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        }
    }
}
