import type { KvCache, Policy } from '@kvfold/kv-core'
import type { Logger } from 'pino'
import type { Budget } from './budget.ts'
import { SessionBusyError, SessionLostError } from './errors.ts'
import type { Recording } from './recording.ts'
import type { SessionFiles } from './session-files.ts'

/** Milliseconds without a turn after which a session moves to the disk. */
const IDLE = 60_000
/** Names of lost sessions that are remembered. */
const MOST_LOST = 10_000

/** A conversation between two turns. */
export interface Session {
  readonly id: string
  readonly policy: Policy
  /** Undefined while it lies on the disk. */
  cache?: KvCache
  /** What its cache held, as long as that was never on the disk. */
  recording?: Recording
  /** Tokens made that the cache has not read yet. */
  readonly unread: number[]
  readonly turns: number
  /** That the cache has read. */
  readonly tokens: number
  /** Of the cache, in memory. */
  readonly bytes: number
  /** Of the file; 0 while there is none. */
  size: number
  usedAt: number
}

/** The sessions of a server: in memory, or in files as long as these take no more than `diskBytes`; then the oldest is given up. */
export class Sessions {
  private readonly budget: Budget
  private readonly files: SessionFiles
  private readonly diskBytes: number
  private readonly log: Logger
  /** In the order of their last turn. */
  private readonly sessions = new Map<string, Session>()
  private readonly busy = new Set<string>()
  private readonly moves = new Map<string, Promise<boolean>>()
  private readonly lost = new Map<string, string>()

  constructor(budget: Budget, files: SessionFiles, diskBytes: number, log: Logger) {
    this.budget = budget
    this.files = files
    this.diskBytes = diskBytes
    this.log = log
  }

  /** Finds what a server before this one left in the folder. */
  async open(parse: (policy: string) => Policy): Promise<void> {
    const found = await this.files.open((file, why) => this.log.warn({ file, why }, 'session file refused'))
    for (const { policy, ...facts } of found) this.sessions.set(facts.id, { ...facts, policy: parse(policy), usedAt: Date.now() })
    await this.shrink()
  }

  list(): Session[] {
    return [...this.sessions.values()]
  }

  get inMemory(): number {
    return this.list().filter(({ cache }) => cache).length
  }

  get onDisk(): number {
    return this.sessions.size - this.inMemory
  }

  get fileBytes(): number {
    return this.list().reduce((sum, { size }) => sum + size, 0)
  }

  /** Begins a turn: of a session that is there, or of one that is not (undefined). Throws SessionBusyError, SessionLostError. */
  async begin(id: string): Promise<Session | undefined> {
    await this.moves.get(id)
    if (this.busy.has(id)) throw new SessionBusyError(id)
    const why = this.lost.get(id)
    if (why) throw new SessionLostError(id, why)
    this.busy.add(id)
    return this.sessions.get(id)
  }

  end(id: string): void {
    this.busy.delete(id)
  }

  /** Its cache, from the disk if need be: the bytes must be reserved. Throws SessionLostError if the file is damaged. */
  async wake(session: Session): Promise<KvCache> {
    if (session.cache) return session.cache
    try {
      session.cache = await this.files.read(session.id, session.policy)
    } catch (error) {
      this.log.warn({ session: session.id, why: (error as Error).message }, 'session file damaged')
      await this.lose(session, 'its file was damaged')
      throw new SessionLostError(session.id, 'its file was damaged')
    }
    // What is in memory goes on, and a file that stays behind would be an older state.
    await this.files.remove(session.id)
    session.size = 0
    this.budget.rest(session.cache)
    return session.cache
  }

  /** Ends a turn well: this is the session now. */
  async put(id: string, next: { policy: Policy; cache: KvCache; recording?: Recording; unread: number[] }): Promise<void> {
    const before = this.sessions.get(id)
    this.sessions.delete(id)
    const { bytes, seen: tokens } = next.cache.ledger()
    this.sessions.set(id, { id, ...next, turns: (before?.turns ?? 0) + 1, tokens, bytes, size: 0, usedAt: Date.now() })
    this.budget.rest(next.cache)
    if (before?.cache) await this.dispose(before)
  }

  /** Moves the session that was used longest ago to the disk. False if there is none in memory that rests, or the disk refuses it. */
  async moveOldest(): Promise<boolean> {
    for (const session of this.sessions.values()) if (this.rests(session)) return this.move(session)
    return false
  }

  /** Moves sessions that had no turn lately. */
  async moveIdle(now: number = Date.now()): Promise<void> {
    for (const session of this.sessions.values())
      if (this.rests(session) && now - session.usedAt >= IDLE && !(await this.move(session))) return
  }

  private rests({ id, cache }: Session): boolean {
    return cache !== undefined && !this.busy.has(id) && !this.moves.has(id)
  }

  /** A turn that comes meanwhile waits. */
  private async move(session: Session): Promise<boolean> {
    const moved = this.write(session)
    this.moves.set(session.id, moved)
    return moved.finally(() => this.moves.delete(session.id))
  }

  private async write(session: Session): Promise<boolean> {
    const { id, unread, turns, bytes } = session
    try {
      session.size = await this.files.write({ id, unread, turns, bytes }, session.cache!)
    } catch (error) {
      this.log.error({ session: id, error }, 'session not moved to disk')
      return false
    }
    await this.dispose(session)
    await this.shrink()
    return true
  }

  /** Gives up the oldest files until the others fit. */
  private async shrink(): Promise<void> {
    for (const session of this.sessions.values()) {
      if (this.fileBytes <= this.diskBytes) return
      if (session.size > 0 && !this.busy.has(session.id)) await this.lose(session, 'the disk had no room for it')
    }
  }

  private async lose(session: Session, why: string): Promise<void> {
    this.sessions.delete(session.id)
    this.lost.set(session.id, why)
    if (this.lost.size > MOST_LOST) this.lost.delete(this.lost.keys().next().value!)
    await this.files.remove(session.id)
  }

  private async dispose(session: Session): Promise<void> {
    const { cache } = session
    session.cache = session.recording = undefined
    this.budget.wake(cache!)
    await cache!.dispose()
  }

  /** Frees the memory; `keep`: when all is on the disk. */
  async close(keep: boolean): Promise<void> {
    while (keep && (await this.moveOldest()));
    for (const session of this.sessions.values()) if (session.cache) await this.dispose(session)
  }
}
