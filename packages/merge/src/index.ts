export { d2o } from './d2o.ts'
export { density } from './density.ts'
