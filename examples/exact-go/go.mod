module exact

go 1.24
