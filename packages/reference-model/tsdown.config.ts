import { library } from '../../tooling/tsdown.ts'

export default library()
