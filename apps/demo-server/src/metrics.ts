import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Budget } from './budget.ts'
import type { Prefixes } from './prefixes.ts'
import type { Sessions } from './sessions.ts'

/** What a server counts. One set per server: there is no global registry. */
export interface Metrics {
  registry: Registry
  requests: Counter<'route' | 'status'>
  tokens: Counter<'kind'>
  prefixes: Counter<'found'>
  /** Seconds. */
  ttft: Histogram
  perToken: Histogram
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  return {
    registry,
    requests: new Counter({ name: 'kvfold_requests_total', help: 'Answered requests.', labelNames: ['route', 'status'], registers }),
    tokens: new Counter({
      name: 'kvfold_tokens_total',
      help: 'Tokens: read of prompts, reused from caches, and made.',
      labelNames: ['kind'],
      registers,
    }),
    prefixes: new Counter({
      name: 'kvfold_prefix_lookups_total',
      help: 'Prompts, by whether a held cache had read their beginning.',
      labelNames: ['found'],
      registers,
    }),
    ttft: new Histogram({
      name: 'kvfold_ttft_seconds',
      help: 'From admission to the first token.',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
      registers,
    }),
    perToken: new Histogram({
      name: 'kvfold_token_seconds',
      help: 'From one token to the next.',
      buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
  }
}

/** Numbers that are looked up when somebody asks. */
export function watchMemory(
  { registry }: Metrics,
  { budget, prefixes, sessions }: { budget: Budget; prefixes: Prefixes; sessions: Sessions },
): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    void new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  }
  gauge('kvfold_cache_bytes', 'Bytes that all caches hold; shared pages count once.', () => budget.held)
  gauge('kvfold_reserved_bytes', 'Bytes that requests at work may still add.', () => budget.reserved)
  gauge('kvfold_budget_bytes', 'Bytes that all caches together may hold.', () => budget.bytes)
  gauge('kvfold_prefixes', 'Snapshots held for prompts that begin alike.', () => prefixes.size)
  gauge('kvfold_sessions_in_memory', 'Sessions whose cache is in memory.', () => sessions.inMemory)
  gauge('kvfold_sessions_on_disk', 'Sessions whose cache is in a file.', () => sessions.onDisk)
  gauge('kvfold_session_file_bytes', 'Bytes of session files.', () => sessions.fileBytes)
}
