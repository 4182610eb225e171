export { cake } from './cake.ts'
export { h2o } from './h2o.ts'
export { snapkv } from './snapkv.ts'
export { streaming } from './streaming.ts'
