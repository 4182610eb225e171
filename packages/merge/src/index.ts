export { d2o } from './d2o.ts'
