package backup

// etcdAlarms are those that etcd raises, by their names there.
var etcdAlarms = []string{"NOSPACE", "CORRUPT"}

// alarmMessage says what an alarm of etcd means.
func alarmMessage(alarm string) string {
	switch alarm {
	case "NOSPACE":
		return "etcd has raised the alarm NOSPACE: it stores as much as it may, and takes no writes"
	case "CORRUPT":
		return "etcd has raised the alarm CORRUPT: its members hold different data, and it takes no writes"
	default:
		return "etcd has raised the alarm " + alarm
	}
}
