module pegasus-go-probe

go 1.18

require github.com/apache/incubator-pegasus/go-client v0.0.0-20260211094228-fcab87d96b7f
