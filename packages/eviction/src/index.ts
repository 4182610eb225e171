export { adakv } from './adakv.ts'
export { cake } from './cake.ts'
export { chunkkv } from './chunkkv.ts'
export { ems } from './ems.ts'
export { expectedAttention } from './expected-attention.ts'
export { h2o } from './h2o.ts'
export { keydiff } from './keydiff.ts'
export { knorm } from './knorm.ts'
export { kvcrush } from './kvcrush.ts'
export { kvzip } from './kvzip.ts'
export { lazyeviction } from './lazyeviction.ts'
export { locret } from './locret.ts'
export { mpcache } from './mpcache.ts'
export { protect } from './protect.ts'
export { pyramidkv } from './pyramidkv.ts'
export { random } from './random.ts'
export { razorattention } from './razorattention.ts'
export { rerotate } from './rerotate.ts'
export {
  retrievalHeads,
  retrievalScore,
  type AttentionRow,
  type HeadScore,
  type RetrievalHead,
  type RetrievalShares,
} from './retrieval-heads.ts'
export { scissorhands } from './scissorhands.ts'
export { snapkv } from './snapkv.ts'
export { streaming } from './streaming.ts'
export { taskStrategy } from './task-strategy.ts'
export { tova } from './tova.ts'
export { trigger } from './trigger.ts'
export { windowkv } from './windowkv.ts'
