/**
 * Words of the block by which threads agree, each on a cache line of its own. A call's tasks are numbered from 0; who lowers NEXT from n to
 * n - 1 runs task n - 1, and lowers LEFT when it is done. A thread that wakes up late finds NEXT at 0 or below, and nothing to do.
 */
export const NEXT = 0
export const LEFT = 16
/** How many workers sleep until NEXT changes. */
export const SLEEPING = 32
/** 1 after a task that threw. */
export const FAILED = 48
/** Where the threads' scratch begins, and the bytes that each of them has. */
export const SCRATCH_AT = 64
export const SCRATCH_EACH = 65
export const CONTROL_WORDS = 80

/** NEXT from here on down: workers end. */
export const STOP: number = -(2 ** 30)

/** A task: which compiled function, how many arguments, then these, each a float64; the function gets its thread's scratch as the last one. */
export const TASK_WORDS = 24
export const MAX_TASKS = 256
