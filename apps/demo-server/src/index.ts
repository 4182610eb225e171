export type { Loaded } from './engine.ts'
export { openServer, type OpenServer, type ServerOptions } from './open-server.ts'
export { serve, type ServeOptions, type Serving } from './serve.ts'
