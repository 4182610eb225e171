import type { LayerPlan } from './plan.ts'

/** Every applied plan, in order: what was kept is `heads[h].keep`, as row indices of that moment, with the positions beside it. */
export class PlanTrace {
  readonly plans: (LayerPlan & { positions: Float32Array[] })[] = []

  record(plan: LayerPlan, positions: Float32Array[]): void {
    this.plans.push({ ...plan, positions })
  }
}
