"""`make bench`: every benchmark, and its table on the terminal."""

from benchmarks import cold_start, dump, fan_out

if __name__ == "__main__":
    print(cold_start.table())
    print(fan_out.table())
    print(f"\nThe dump beside dlt: {dump.table()}")
