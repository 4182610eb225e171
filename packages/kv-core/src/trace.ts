import type { LayerPlan } from './plan.ts'

/** A plan, and what it was made of: by head, the positions and scores of the rows of that moment; `seen`: tokens so far. */
export interface TracedPlan extends LayerPlan {
  positions: Float32Array[]
  scores: Float32Array[]
  seen: number
}

/** Every applied plan, in order: what was kept is `heads[h].keep`, as row indices of that moment. */
export class PlanTrace {
  readonly plans: TracedPlan[] = []
}
